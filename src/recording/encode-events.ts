import type { L1Frame } from '../event/frame.js';
import { EVENT_FAULTS, packCodes, quantise, toPhysical, unpackWords } from '../event/hardware-words.js';
import { Encoding, OBJECTS_PER_EVENT, VALUES_PER_EVENT } from '../event/layout.js';

/** A frame in another encoding, and which of its events have no value there. */
interface ReencodedFrame {
  readonly frame: L1Frame;
  /** Index in {@link EVENT_FAULTS} per event; the objects of a faulty event are all zero. */
  readonly faults: Uint8Array;
  readonly faulty: number;
}

/** The planar codes of a frame's events, and their faults. */
export function codesOf(frame: L1Frame): { codes: Int16Array; faults: Uint8Array; faulty: number } {
  const events = frame.eventCount;
  const codes = new Int16Array(events * VALUES_PER_EVENT);
  const faults = new Uint8Array(events);
  // A copy: the frame's view need not start at a multiple of 4.
  const { buffer } = new Uint8Array(frame.objects);
  const faulty =
    frame.encoding === Encoding.HW32
      ? unpackWords(new Int32Array(buffer), events, codes, faults)
      : quantise(new Float32Array(buffer), events, codes, faults);
  return { codes, faults, faulty };
}

/**
 * Bring a frame's events onto the hardware grid, written as words or as physical values. HW32 to PHYS32 and back is
 * the identity.
 */
export function reencode(frame: L1Frame, encoding: Encoding): ReencodedFrame {
  const { codes, faults, faulty } = codesOf(frame);
  const events = frame.eventCount;
  let objects: Int32Array | Float32Array;
  if (encoding === Encoding.HW32) {
    objects = new Int32Array(events * OBJECTS_PER_EVENT);
    packCodes(codes, events, objects);
  } else {
    objects = new Float32Array(events * VALUES_PER_EVENT);
    toPhysical(codes, events, objects);
  }
  return { frame: { ...frame, encoding, objects: new Uint8Array(objects.buffer) }, faults, faulty };
}

/** What is wrong with a faulty event, for messages. */
export function faultAt(faults: Uint8Array, event: number): string {
  return EVENT_FAULTS[faults[event]!] ?? 'unknown';
}
