/**
 * What leaves the stream: accepted events with their provenance, and dead letters.
 */
import { bigintToInt64, int64ToBigint, wireEncoding } from './frame.js';
import { l1trigger } from './generated/l1_event.js';
import type { Encoding } from './layout.js';

const Wire = l1trigger.v1;

/** Where a frame came from: a topic's partition and offset, or a file name, partition 0 and the frame's number. */
export interface SourcePosition {
  readonly source: string;
  readonly partition: number;
  readonly offset: bigint;
}

/** A model that rejects before another one scores, and the float32 below which it does: one of a cascade. */
export interface DecidingStudent {
  readonly sha256: string;
  readonly cut: number;
}

/** One path's verdict on an event it accepted: float32 score >= float32 threshold. */
export interface PathDecision {
  readonly path: string;
  readonly model: string;
  readonly modelSha256: string;
  readonly score: number;
  readonly threshold: number;
  /** What let the event through to the model. */
  readonly student?: DecidingStudent;
}

/** Fields of a student in messages, which leave them out where there is none. */
export function studentFields(student: DecidingStudent | undefined): { studentSha256?: string; studentCut?: number } {
  return student === undefined ? {} : { studentSha256: student.sha256, studentCut: student.cut };
}

/** The student of a message's fields. */
export function studentOf(
  sha256: string | null | undefined,
  cut: number | null | undefined,
): { student?: DecidingStudent } {
  return sha256 == null || sha256 === '' ? {} : { student: { sha256, cut: cut ?? 0 } };
}

export interface AcceptedEvent {
  readonly run: number;
  readonly luminositySection: number;
  readonly orbit: number;
  readonly bunchCrossing: number;
  readonly encoding: Encoding;
  /** The event's objects as they came, in {@link AcceptedEvent.encoding}. */
  readonly objects: Uint8Array;
  /** The paths that accepted the event, in the order of the configuration. */
  readonly paths: readonly PathDecision[];
  readonly position: SourcePosition;
  /** Index of the event in its frame. */
  readonly index: number;
  readonly label: number | undefined;
}

/** A frame or a single event that could not be decided. */
export interface DeadLetter {
  readonly kind: 'frame' | 'event';
  /** A FrameFaultReason or EventFaultReason. */
  readonly reason: string;
  readonly detail: string;
  readonly position: SourcePosition;
  /** Index of the event in its frame; undefined for whole frames. */
  readonly index: number | undefined;
  /** The frame's bytes as received, or the event as a serialised frame of one. */
  readonly bytes: Uint8Array;
}

export function encodeAcceptedEvent(event: AcceptedEvent): Uint8Array {
  return Wire.AcceptedEvent.encode({
    run: event.run,
    luminositySection: event.luminositySection,
    orbit: event.orbit,
    bunchCrossing: event.bunchCrossing,
    encoding: wireEncoding(event.encoding),
    objects: event.objects,
    paths: event.paths.map(({ student, ...decision }) => ({ ...decision, ...studentFields(student) })),
    source: {
      source: event.position.source,
      partition: event.position.partition,
      offset: bigintToInt64(event.position.offset),
      index: event.index,
    },
    ...(event.label === undefined ? {} : { label: event.label }),
  }).finish();
}

/** Decode an accepted event; throws what protobufjs throws for bytes that are not one. */
export function decodeAcceptedEvent(bytes: Uint8Array): AcceptedEvent {
  const wire = Wire.AcceptedEvent.decode(bytes);
  return {
    run: wire.run,
    luminositySection: wire.luminositySection,
    orbit: wire.orbit,
    bunchCrossing: wire.bunchCrossing,
    encoding: wire.encoding as Encoding,
    objects: wire.objects,
    paths: wire.paths.map((decision) => ({
      path: decision.path ?? '',
      model: decision.model ?? '',
      modelSha256: decision.modelSha256 ?? '',
      score: decision.score ?? 0,
      threshold: decision.threshold ?? 0,
      ...studentOf(decision.studentSha256, decision.studentCut),
    })),
    position: {
      source: wire.source?.source ?? '',
      partition: wire.source?.partition ?? 0,
      offset: wire.source?.offset == null ? 0n : int64ToBigint(wire.source.offset),
    },
    index: wire.source?.index ?? 0,
    label: wire.label ?? undefined,
  };
}
