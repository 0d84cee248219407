/** Plausible events for tests that need scores: one lepton, missing momentum and a few jets. */
import type { L1Frame } from '#nae/event/frame.js';
import { packCodes } from '#nae/event/hardware-words.js';
import { Encoding, OBJECTS_PER_EVENT, VALUES_PER_EVENT } from '#nae/event/layout.js';

/** A generator of integers below a bound, the same for the same seed. */
export function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Planar codes [events, 57]. */
export function plausibleCodes(events: number, seed = 1): Int16Array {
  const random = seeded(seed);
  const codes = new Int16Array(events * VALUES_PER_EVENT);
  for (let event = 0; event < events; event++) {
    const put = (slot: number, pt: number, eta: number): void => {
      const row = event * VALUES_PER_EVENT + slot;
      codes[row] = pt;
      codes[row + OBJECTS_PER_EVENT] = eta;
      codes[row + 2 * OBJECTS_PER_EVENT] = random(576) - 288;
    };
    put(0, 10 + random(120), 0);
    put(random(2) === 0 ? 1 : 5, 47 + random(80), random(380) - 190);
    let pt = 40 + random(200);
    for (let jet = random(6); jet > 0; jet--) {
      put(15 - jet, pt, random(700) - 350);
      pt = 30 + Math.floor((pt - 30) * 0.7);
    }
  }
  return codes;
}

/** A frame of HW32 events; crossings count up from 1. */
export function frameOf(codes: Int16Array, overrides: Partial<L1Frame> = {}): L1Frame {
  const eventCount = codes.length / VALUES_PER_EVENT;
  const words = new Int32Array(eventCount * OBJECTS_PER_EVENT);
  packCodes(codes, eventCount, words);
  return {
    encoding: Encoding.HW32,
    run: 1,
    luminositySection: 0,
    orbit: 7,
    eventCount,
    bunchCrossings: new Uint8Array(Uint16Array.from({ length: eventCount }, (_, event) => 1 + (event % 3564)).buffer),
    orbitDeltas: new Uint8Array(0),
    objects: new Uint8Array(words.buffer),
    labels: new Uint8Array(0),
    createdUnixNs: 0n,
    ...overrides,
  };
}

/** Planar codes cut into frames of the given sizes. */
export function framesOf(codes: Int16Array, sizes: readonly number[]): L1Frame[] {
  let first = 0;
  return sizes.map((events, number) => {
    const part = codes.subarray(first * VALUES_PER_EVENT, (first + events) * VALUES_PER_EVENT);
    first += events;
    return frameOf(part, { orbit: number });
  });
}
