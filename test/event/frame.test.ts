import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  bunchCrossingOf,
  decodeFrame,
  encodeFrame,
  isFrameFault,
  labelOf,
  objectsOf,
  orbitOf,
  singleEventFrame,
  type L1Frame,
} from '#nae/event/frame.js';
import { bytesPerEvent, Encoding, isBunchCrossing } from '#nae/event/layout.js';

import { frame, plain } from './arbitrary-events.js';

const SOUND: L1Frame = {
  encoding: Encoding.HW32,
  run: 362_000,
  luminositySection: 3,
  orbit: 800_000,
  eventCount: 2,
  bunchCrossings: Uint8Array.of(0xec, 0x0d, 1, 0), // 3564, 1
  orbitDeltas: Uint8Array.of(0, 0, 1, 0),
  objects: new Uint8Array(2 * 76).fill(0, 76),
  labels: Uint8Array.of(0, 4),
  createdUnixNs: 1_700_000_000_123_456_789n,
};

/** The sound frame with another number in its first field, `encoding`. */
function withEncoding(encoding: number): Uint8Array {
  const bytes = encodeFrame(SOUND);
  expect([...bytes.subarray(0, 2)]).toEqual([0x08, 1]);
  bytes[1] = encoding;
  return bytes;
}

function reasonOf(bytes: Uint8Array | null | undefined, maxFrameBytes = 1000): string {
  const outcome = decodeFrame(bytes, { maxFrameBytes });
  return isFrameFault(outcome) ? outcome.reason : 'sound';
}

function decoded(bytes: Uint8Array): L1Frame {
  const outcome = decodeFrame(bytes);
  if (isFrameFault(outcome)) throw new Error(outcome.detail);
  return plain(outcome);
}

describe('frames', () => {
  it('come back from bytes as they were', () => {
    fc.assert(
      fc.property(frame(), (original) => {
        expect(decoded(encodeFrame(original))).toEqual(original);
      }),
    );
  });

  it('give the identity, label and objects of each event', () => {
    expect([0, 1].map((event) => bunchCrossingOf(SOUND, event))).toEqual([3564, 1]);
    expect([0, 1].map((event) => orbitOf(SOUND, event))).toEqual([800_000, 800_001]);
    expect([0, 1].map((event) => labelOf(SOUND, event))).toEqual([0, 4]);
    const none = { ...SOUND, orbitDeltas: new Uint8Array(), labels: new Uint8Array() };
    expect(orbitOf(none, 1)).toBe(800_000);
    expect(labelOf(none, 1)).toBeUndefined();
    expect(objectsOf(SOUND, 1).byteOffset - SOUND.objects.byteOffset).toBe(76);
  });

  it('can be cut to one event, which keeps its identity', () => {
    const arbitrary = frame().filter(({ eventCount }) => eventCount > 0);
    fc.assert(
      fc.property(arbitrary, fc.nat(), (original, nth) => {
        const index = nth % original.eventCount;
        const single = decoded(encodeFrame(singleEventFrame(original, index)));
        expect(single.eventCount).toBe(1);
        expect(bunchCrossingOf(single, 0)).toBe(bunchCrossingOf(original, index));
        expect(orbitOf(single, 0)).toBe(orbitOf(original, index));
        expect(labelOf(single, 0)).toBe(labelOf(original, index));
        expect(new Uint8Array(single.objects)).toEqual(objectsOf(original, index));
      }),
    );
  });

  it('number crossings from 1 to 3564', () => {
    expect([0, 1, 3564, 3565, 65535].map(isBunchCrossing)).toEqual([false, true, true, false, false]);
  });
});

describe('frame faults', () => {
  it.each<[string, Uint8Array | null | undefined]>([
    ['empty-message', null],
    ['empty-message', undefined],
    ['empty-message', new Uint8Array()],
    ['too-large', new Uint8Array(1001)],
    ['not-protobuf', Uint8Array.of(0xff)],
    ['not-protobuf', new TextEncoder().encode('{"run": 1}')],
    ['not-protobuf', encodeFrame(SOUND).subarray(0, 100)],
    ['unknown-encoding', withEncoding(0)],
    ['unknown-encoding', withEncoding(3)],
    ['length-mismatch', encodeFrame({ ...SOUND, encoding: Encoding.PHYS32 })],
    ['length-mismatch', encodeFrame({ ...SOUND, eventCount: 3 })],
    ['length-mismatch', encodeFrame({ ...SOUND, eventCount: 0xffffffff })],
    ['length-mismatch', encodeFrame({ ...SOUND, objects: SOUND.objects.subarray(1) })],
    ['length-mismatch', encodeFrame({ ...SOUND, objects: new Uint8Array() })],
    ['length-mismatch', encodeFrame({ ...SOUND, bunchCrossings: new Uint8Array() })],
    ['length-mismatch', encodeFrame({ ...SOUND, orbitDeltas: Uint8Array.of(1, 0) })],
    ['length-mismatch', encodeFrame({ ...SOUND, labels: Uint8Array.of(1) })],
    ['sound', encodeFrame(SOUND)],
    ['sound', encodeFrame({ ...SOUND, labels: new Uint8Array(), orbitDeltas: new Uint8Array() })],
  ])('are %s', (reason, bytes) => {
    expect(reasonOf(bytes)).toBe(reason);
  });

  it('say what was expected and received', () => {
    expect(decodeFrame(encodeFrame({ ...SOUND, labels: Uint8Array.of(1) }))).toEqual({
      reason: 'length-mismatch',
      detail: 'labels: expected 2 bytes, received 1 for 2 events',
    });
  });

  it('are values: no bytes make decoding throw, and what is sound has consistent lengths', () => {
    const damaged = fc
      .tuple(frame(), fc.nat(), fc.integer({ min: 0, max: 255 }), fc.nat())
      .map(([original, at, byte, cut]) => {
        const bytes = encodeFrame(original);
        bytes[at % bytes.length] = byte;
        return cut % 2 === 0 ? bytes : bytes.subarray(0, cut % (bytes.length + 1));
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 400 }), damaged), (bytes) => {
        const outcome = decodeFrame(bytes);
        if (isFrameFault(outcome)) {
          expect(outcome.detail).not.toBe('');
        } else {
          expect(outcome.objects.length).toBe(outcome.eventCount * bytesPerEvent(outcome.encoding));
          expect(outcome.bunchCrossings.length).toBe(outcome.eventCount * 2);
        }
      }),
      { numRuns: 500 },
    );
  });
});
