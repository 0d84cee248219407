/**
 * Frames as the stream holds them, and their protobuf form (proto/l1_event.proto). Decoding checks everything
 * that concerns the frame as a whole; what concerns single events is checked where they are unpacked.
 */
import Long from 'long';

import { l1trigger } from './generated/l1_event.js';
import { bytesPerEvent, Encoding, encodingName } from './layout.js';

const Wire = l1trigger.v1;

export interface L1Frame {
  readonly encoding: Encoding;
  readonly run: number;
  readonly luminositySection: number;
  /** Orbit number of the first event. */
  readonly orbit: number;
  readonly eventCount: number;
  /** uint16 LE per event, 1..3564. */
  readonly bunchCrossings: Uint8Array;
  /** uint16 LE per event, or empty where all events are in {@link L1Frame.orbit}. */
  readonly orbitDeltas: Uint8Array;
  readonly objects: Uint8Array;
  /** uint8 per event, or empty where the truth is unknown. */
  readonly labels: Uint8Array;
  readonly createdUnixNs: bigint;
}

/** Why a whole frame cannot be decided. */
type FrameFaultReason = 'empty-message' | 'too-large' | 'not-protobuf' | 'unknown-encoding' | 'length-mismatch';

/** A frame that cannot be decoded: a value, never thrown. */
export interface FrameFault {
  readonly reason: FrameFaultReason;
  /** What was expected and what came. */
  readonly detail: string;
}

export interface FrameLimits {
  /** Largest serialised frame accepted. */
  readonly maxFrameBytes: number;
}

/** Far above what makes sense: a frame of one orbit in PHYS32 is 0.8 MB, and brokers take 1 MiB unless told otherwise. */
export const DEFAULT_FRAME_LIMITS: FrameLimits = { maxFrameBytes: 16 * 1024 * 1024 };

export function isFrameFault(outcome: L1Frame | FrameFault): outcome is FrameFault {
  return 'reason' in outcome;
}

/**
 * Decode a serialised frame.
 *
 * The byte fields of the result are views of `bytes`: they stay valid, and keep it alive, as long as it is not
 * written to. Never throws for any content.
 */
export function decodeFrame(
  bytes: Uint8Array | null | undefined,
  limits: FrameLimits = DEFAULT_FRAME_LIMITS,
): L1Frame | FrameFault {
  if (bytes === null || bytes === undefined || bytes.length === 0) {
    return { reason: 'empty-message', detail: 'expected a serialised L1Frame, received no bytes' };
  }
  if (bytes.length > limits.maxFrameBytes) {
    return {
      reason: 'too-large',
      detail: `expected at most ${limits.maxFrameBytes} bytes, received ${bytes.length}`,
    };
  }
  let wire: l1trigger.v1.L1Frame;
  try {
    wire = Wire.L1Frame.decode(bytes);
  } catch (error) {
    return { reason: 'not-protobuf', detail: error instanceof Error ? error.message : String(error) };
  }
  const encoding: number = wire.encoding;
  if (encoding !== Encoding.HW32 && encoding !== Encoding.PHYS32) {
    return { reason: 'unknown-encoding', detail: `expected encoding 1 (HW32) or 2 (PHYS32), received ${encoding}` };
  }
  const events = wire.eventCount;
  const mismatch =
    lengthMismatch('objects', wire.objects, events * bytesPerEvent(encoding), false) ??
    lengthMismatch('bunch_crossings', wire.bunchCrossings, events * 2, false) ??
    lengthMismatch('orbit_deltas', wire.orbitDeltas, events * 2, true) ??
    lengthMismatch('labels', wire.labels, events, true);
  if (mismatch !== undefined) return { reason: 'length-mismatch', detail: `${mismatch} for ${events} events` };
  return {
    encoding,
    run: wire.run,
    luminositySection: wire.luminositySection,
    orbit: wire.orbit,
    eventCount: events,
    bunchCrossings: wire.bunchCrossings,
    orbitDeltas: wire.orbitDeltas,
    objects: wire.objects,
    labels: wire.labels,
    createdUnixNs: int64ToBigint(wire.createdUnixNs),
  };
}

/** What a serialised frame says of itself. */
export interface FrameOutline {
  readonly encoding: string;
  readonly run: number;
  readonly luminositySection: number;
  readonly orbit: number;
  readonly eventCount: number;
  /** Of the first event, where there is one. */
  readonly bunchCrossing: number | undefined;
}

/** The outline of a frame, also of one that does not hold together; undefined for bytes that are no protobuf. */
export function outlineOf(bytes: Uint8Array): FrameOutline | undefined {
  let wire: l1trigger.v1.L1Frame;
  try {
    wire = Wire.L1Frame.decode(bytes);
  } catch {
    return undefined;
  }
  const { run, luminositySection, orbit, eventCount, bunchCrossings } = wire;
  const encoding: number = wire.encoding;
  return {
    encoding: encoding === Encoding.HW32 || encoding === Encoding.PHYS32 ? encodingName(encoding) : String(encoding),
    run,
    luminositySection,
    orbit,
    eventCount,
    bunchCrossing: bunchCrossings.length < 2 ? undefined : bunchCrossings[0]! | (bunchCrossings[1]! << 8),
  };
}

function lengthMismatch(field: string, bytes: Uint8Array, expected: number, optional: boolean): string | undefined {
  if (bytes.length === expected || (optional && bytes.length === 0)) return undefined;
  return `${field}: expected ${expected} bytes, received ${bytes.length}`;
}

/** Serialise a frame; the result owns its bytes. */
export function encodeFrame(frame: L1Frame): Uint8Array {
  return Wire.L1Frame.encode({
    encoding: wireEncoding(frame.encoding),
    run: frame.run,
    luminositySection: frame.luminositySection,
    orbit: frame.orbit,
    eventCount: frame.eventCount,
    bunchCrossings: frame.bunchCrossings,
    orbitDeltas: frame.orbitDeltas,
    objects: frame.objects,
    labels: frame.labels,
    createdUnixNs: bigintToInt64(frame.createdUnixNs),
  }).finish();
}

/** The generated code's value for an encoding. */
export function wireEncoding(encoding: Encoding): l1trigger.v1.Encoding {
  return Wire.Encoding[encodingName(encoding)];
}

/** Bunch crossing of an event, as it stands in the frame (not validated). */
export function bunchCrossingOf(frame: L1Frame, index: number): number {
  return frame.bunchCrossings[2 * index]! | (frame.bunchCrossings[2 * index + 1]! << 8);
}

/** Orbit of an event. */
export function orbitOf(frame: L1Frame, index: number): number {
  if (frame.orbitDeltas.length === 0) return frame.orbit;
  return frame.orbit + (frame.orbitDeltas[2 * index]! | (frame.orbitDeltas[2 * index + 1]! << 8));
}

/** Truth label of an event, where the frame has labels. */
export function labelOf(frame: L1Frame, index: number): number | undefined {
  return frame.labels.length === 0 ? undefined : frame.labels[index];
}

/** The objects of one event: a view of the frame's bytes. */
export function objectsOf(frame: L1Frame, index: number): Uint8Array {
  const size = bytesPerEvent(frame.encoding);
  return frame.objects.subarray(index * size, (index + 1) * size);
}

/** A frame of one event, copied out of a frame: what a faulty event is dead-lettered as. */
export function singleEventFrame(frame: L1Frame, index: number): L1Frame {
  return {
    ...frame,
    eventCount: 1,
    bunchCrossings: frame.bunchCrossings.subarray(2 * index, 2 * index + 2),
    orbitDeltas: frame.orbitDeltas.subarray(2 * index, 2 * index + 2),
    objects: objectsOf(frame, index),
    labels: frame.labels.subarray(index, index + 1),
  };
}

/** A 64-bit integer as the generated code takes it: its `Long` is another declaration of the same class. */
type Int64 = l1trigger.v1.L1Frame['createdUnixNs'];

/** A protobufjs int64 as it is decoded. */
export function int64ToBigint(value: Pick<Int64, 'high' | 'low'>): bigint {
  return (BigInt(value.high) << 32n) | BigInt(value.low >>> 0);
}

export function bigintToInt64(value: bigint): Int64 {
  const bits: object = Long.fromBits(Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)), false);
  return bits as Int64;
}
