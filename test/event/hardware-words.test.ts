import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  ETA_LSB,
  EVENT_FAULTS,
  packCodes,
  PHI_LSB_RAD,
  PT_LSB_GEV,
  quantise,
  toPhysical,
  unpackWords,
} from '#nae/event/hardware-words.js';
import { OBJECTS_PER_EVENT, VALUES_PER_EVENT } from '#nae/event/layout.js';

import { eventsCodes } from './arbitrary-events.js';

/** One event of physical values with one object given, and its codes and fault. */
function quantiseObject(slot: number, pt: number, eta: number, phi: number): { codes: number[]; fault: string } {
  const values = new Float32Array(VALUES_PER_EVENT);
  values.set([pt, eta, phi], 3 * slot);
  const codes = new Int16Array(VALUES_PER_EVENT);
  const faults = new Uint8Array(1);
  const faulty = quantise(values, 1, codes, faults);
  expect(faulty).toBe(faults[0] === 0 ? 0 : 1);
  return {
    codes: [0, 1, 2].map((value) => codes[value * OBJECTS_PER_EVENT + slot]!),
    fault: EVENT_FAULTS[faults[0]!]!,
  };
}

function unpackWord(slot: number, word: number): { codes: number[]; fault: string } {
  const words = new Int32Array(OBJECTS_PER_EVENT);
  words[slot] = word;
  const codes = new Int16Array(VALUES_PER_EVENT).fill(-1);
  const faults = Uint8Array.of(255);
  const faulty = unpackWords(words, 1, codes, faults);
  expect(faulty).toBe(faults[0] === 0 ? 0 : 1);
  return {
    codes: [0, 1, 2].map((value) => codes[value * OBJECTS_PER_EVENT + slot]!),
    fault: EVENT_FAULTS[faults[0]!]!,
  };
}

/** A word from raw fields, by arithmetic rather than bit operations. */
const word = (pt: number, eta10: number, phi10: number): number => (pt + eta10 * 2 ** 12 + phi10 * 2 ** 22) | 0;

describe('HW32 words', () => {
  it('hold pT in bits 0-11, eta in 12-21 and phi in 22-31, two-complement', () => {
    expect(unpackWord(3, word(20, 932, 736)).codes).toEqual([20, 932 - 1024, 736 - 1024]);
    expect(unpackWord(18, word(4095, 511, 287)).codes).toEqual([4095, 511, 287]);
    expect(unpackWord(1, word(1, 1024 - 511, 0)).codes).toEqual([1, -511, 0]);
  });

  it('come back from codes bit by bit', () => {
    fc.assert(
      fc.property(eventsCodes(6), (codes) => {
        const events = codes.length / VALUES_PER_EVENT;
        const words = new Int32Array(events * OBJECTS_PER_EVENT);
        packCodes(codes, events, words);
        const back = new Int16Array(codes.length);
        const faults = new Uint8Array(events);
        expect(unpackWords(words, events, back, faults)).toBe(0);
        expect(back).toEqual(codes);
      }),
    );
  });

  it('are either sound, and then packed again to the same bits, or a fault with codes of zero', () => {
    const anyWords = fc.array(fc.oneof(fc.integer(), fc.constant(0)), {
      minLength: OBJECTS_PER_EVENT,
      maxLength: OBJECTS_PER_EVENT,
    });
    fc.assert(
      fc.property(anyWords, (raw) => {
        const words = Int32Array.from(raw);
        const codes = new Int16Array(VALUES_PER_EVENT);
        const faults = new Uint8Array(1);
        const faulty = unpackWords(words, 1, codes, faults);
        const back = new Int32Array(OBJECTS_PER_EVENT);
        packCodes(codes, 1, back);
        expect(back).toEqual(faulty === 0 ? words : new Int32Array(OBJECTS_PER_EVENT));
      }),
    );
  });

  it.each([
    ['absent-object-not-zero', 4, word(0, 1, 0)],
    ['absent-object-not-zero', 4, word(0, 0, 1)],
    ['eta-out-of-range', 9, word(1, 512, 0)],
    ['phi-out-of-range', 9, word(1, 0, 288)],
    ['phi-out-of-range', 9, word(1, 0, 1024 - 289)],
    ['met-eta-not-zero', 0, word(1, 1, 0)],
    ['none', 0, word(1, 0, 1024 - 288)],
  ])('report %s (slot %i, word %i)', (fault, slot, raw) => {
    expect(unpackWord(slot, raw).fault).toBe(fault);
  });

  it('leave the neighbours of a faulty event as they are', () => {
    const words = new Int32Array(3 * OBJECTS_PER_EVENT).fill(word(7, 0, 5));
    words[OBJECTS_PER_EVENT + 2] = word(1, 512, 0);
    const codes = new Int16Array(3 * VALUES_PER_EVENT);
    const faults = new Uint8Array(3);
    expect(unpackWords(words, 3, codes, faults)).toBe(1);
    expect([...faults].map((fault) => EVENT_FAULTS[fault])).toEqual(['none', 'eta-out-of-range', 'none']);
    for (const event of [0, 2]) {
      const row = codes.subarray(event * VALUES_PER_EVENT, (event + 1) * VALUES_PER_EVENT);
      expect([...new Set(row.subarray(0, OBJECTS_PER_EVENT))]).toEqual([7]);
      expect([...new Set(row.subarray(2 * OBJECTS_PER_EVENT))]).toEqual([5]);
    }
    expect(codes.subarray(VALUES_PER_EVENT, 2 * VALUES_PER_EVENT).every((code) => code === 0)).toBe(true);
  });
});

describe('rounding to the hardware grid', () => {
  it.each([
    // pT [GeV], eta, phi, codes: worked out by hand from LSB 0.5 GeV, 0.010875, 2 pi / 576
    [10, -1, 3, [20, -92, 275]],
    [23.24, 2.1, -3.1, [46, 193, -284]],
    [23.25, 0, 0, [47, 0, 0]],
    [0.25, 1, 1, [1, 92, 92]],
    [0.2499, 1, 1, [0, 0, 0]],
    [2047.5, 0, 0, [4095, 0, 0]],
    [1e6, 0, 0, [4095, 0, 0]],
    [1, 0, Math.PI, [2, 0, -288]],
    [1, 0, -Math.PI, [2, 0, -288]],
    [1, 5.557, 0, [2, 511, 0]],
  ])('puts pT %f, eta %f, phi %f on codes %j', (pt, eta, phi, codes) => {
    expect(quantiseObject(12, pt, eta, phi)).toEqual({ codes, fault: 'none' });
  });

  it.each([
    ['value-not-finite', 5, [NaN, 0, 0]],
    ['value-not-finite', 5, [1, Infinity, 0]],
    ['value-not-finite', 5, [1, 0, -Infinity]],
    ['value-not-finite', 5, [0, NaN, 0]],
    ['pt-out-of-range', 5, [-0.1, 0, 0]],
    ['eta-out-of-range', 5, [1, 5.57, 0]],
    ['eta-out-of-range', 5, [1, -5.57, 0]],
    ['phi-out-of-range', 5, [1, 0, 3.15]],
    ['phi-out-of-range', 5, [1, 0, -3.15]],
    ['met-eta-not-zero', 0, [1, 0.5, 0]],
    ['none', 0, [1, 0, 1]],
  ] as const)('reports %s (slot %i, %j)', (fault, slot, [pt, eta, phi]) => {
    expect(quantiseObject(slot, pt, eta, phi).fault).toBe(fault);
  });

  it('moves a value by half an LSB at most', () => {
    const close = (code: number, lsb: number, value: number): void => {
      expect(Math.abs(code * lsb - Math.fround(value))).toBeLessThanOrEqual(lsb / 2 + 1e-9);
    };
    fc.assert(
      fc.property(
        fc.double({ min: 0.25, max: 2047, noNaN: true }),
        fc.double({ min: -5.55, max: 5.55, noNaN: true }),
        fc.double({ min: -3.14, max: 3.135, noNaN: true }),
        (pt, eta, phi) => {
          const { codes, fault } = quantiseObject(7, pt, eta, phi);
          expect(fault).toBe('none');
          close(codes[0]!, PT_LSB_GEV, pt);
          close(codes[1]!, ETA_LSB, eta);
          close(codes[2]!, PHI_LSB_RAD, phi);
        },
      ),
    );
  });

  it('leaves values on the grid where they are: codes to values to codes is the identity', () => {
    fc.assert(
      fc.property(eventsCodes(6), (codes) => {
        const events = codes.length / VALUES_PER_EVENT;
        const values = new Float32Array(codes.length);
        toPhysical(codes, events, values);
        const back = new Int16Array(codes.length);
        expect(quantise(values, events, back, new Uint8Array(events))).toBe(0);
        expect(back).toEqual(codes);
      }),
    );
  });

  it('holds every code of the grid exactly', () => {
    for (let pt = 1; pt <= 4095; pt++) {
      const eta = (pt % 1023) - 511;
      const phi = (pt % 576) - 288;
      const values = new Float32Array(3);
      values.set([pt * PT_LSB_GEV, eta * ETA_LSB, phi * PHI_LSB_RAD]);
      expect(quantiseObject(9, values[0]!, values[1]!, values[2]!)).toEqual({ codes: [pt, eta, phi], fault: 'none' });
    }
  });

  it('takes any floats: sound events give words that unpack to the same codes, others are faults', () => {
    fc.assert(
      fc.property(fc.float32Array({ minLength: VALUES_PER_EVENT, maxLength: VALUES_PER_EVENT }), (values) => {
        const codes = new Int16Array(VALUES_PER_EVENT);
        const faults = new Uint8Array(1);
        quantise(values, 1, codes, faults);
        const words = new Int32Array(OBJECTS_PER_EVENT);
        packCodes(codes, 1, words);
        const back = new Int16Array(VALUES_PER_EVENT);
        expect(unpackWords(words, 1, back, new Uint8Array(1))).toBe(0);
        expect(back).toEqual(codes);
      }),
    );
  });
});
