/** The SIMD unpacker gives what the plain definition gives, for any words. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { packWord, unpackWords } from '#nae/event/hardware-words.js';
import { OBJECTS_PER_EVENT, VALUES_PER_EVENT } from '#nae/event/layout.js';
import { WordUnpacker } from '#nae/event/word-unpacker.js';

const ROWS = 40;

/** Any bits, and words at the borders of the fields. */
const anyWord = fc.oneof(
  fc.constant(0),
  fc.integer(),
  fc
    .tuple(
      fc.constantFrom(0, 1, 4095),
      fc.constantFrom(-512, -511, -1, 0, 511),
      fc.constantFrom(-289, -288, 0, 287, 288),
    )
    .map(([pt, eta, phi]) => packWord(pt, eta, phi)),
);
const soundWord = fc
  .tuple(fc.integer({ min: 1, max: 4095 }), fc.integer({ min: -511, max: 511 }), fc.integer({ min: -288, max: 287 }))
  .map(([pt, eta, phi]) => packWord(pt, eta, phi));
const eventWords = fc
  .tuple(
    fc.oneof(fc.constant(0), fc.constant(packWord(9, 0, -288)), anyWord),
    fc.array(fc.oneof({ weight: 60, arbitrary: soundWord }, { weight: 1, arbitrary: anyWord }), {
      minLength: OBJECTS_PER_EVENT - 1,
      maxLength: OBJECTS_PER_EVENT - 1,
    }),
  )
  .map(([met, others]) => [met, ...others]);

function expectEqual(unpacker: WordUnpacker, words: Int32Array): void {
  const events = words.length / OBJECTS_PER_EVENT;
  const codes = new Int16Array(events * VALUES_PER_EVENT);
  const faults = new Uint8Array(events);
  const faulty = unpackWords(words, events, codes, faults);
  unpacker.codes.fill(0x5a5a);
  unpacker.faults.fill(0xa5);
  expect(unpacker.unpack(new Uint8Array(words.buffer, words.byteOffset, words.byteLength))).toBe(faulty);
  expect(unpacker.codes.slice(0, codes.length)).toEqual(codes);
  expect(unpacker.faults.slice(0, events)).toEqual(faults);
  expect(unpacker.codes.subarray(codes.length).every((code) => code === 0x5a5a)).toBe(true);
  expect(unpacker.faults.subarray(events).every((fault) => fault === 0xa5)).toBe(true);
}

describe('the SIMD unpacker', () => {
  const unpacker = new WordUnpacker(ROWS);

  it('equals the definition for any words and any number of events, and writes nothing behind them', () => {
    fc.assert(
      fc.property(fc.array(eventWords, { maxLength: ROWS }), (events) => {
        expectEqual(unpacker, Int32Array.from(events.flat()));
      }),
      { numRuns: 400 },
    );
  });

  it('finds every kind of fault in every slot', () => {
    const words = [
      packWord(0, 1, 0),
      packWord(0, 0, -1),
      packWord(1, -512, 0),
      packWord(1, 0, 288),
      packWord(1, 0, -289),
    ];
    for (let slot = 0; slot < OBJECTS_PER_EVENT; slot++) {
      const events = new Int32Array(words.length * OBJECTS_PER_EVENT);
      words.forEach((word, event) => (events[event * OBJECTS_PER_EVENT + slot] = word));
      expectEqual(unpacker, events);
      expect(unpacker.faults.subarray(0, words.length)).not.toContain(0);
    }
  });

  it('takes words from shared memory', () => {
    const words = new Int32Array(new SharedArrayBuffer(4 * OBJECTS_PER_EVENT)).fill(packWord(3, 0, 7));
    expectEqual(unpacker, words);
  });

  it('takes them from any address, and finds faults behind those that are copied first', () => {
    const events = 1100;
    const bytes = new Uint8Array(1 + 4 * events * OBJECTS_PER_EVENT).subarray(1);
    const words = new Int32Array(events * OBJECTS_PER_EVENT).fill(packWord(3, 0, 7));
    for (const event of [511, 512, 1023, 1099]) words[event * OBJECTS_PER_EVENT + 4] = packWord(1, -512, 0);
    bytes.set(new Uint8Array(words.buffer));
    const many = new WordUnpacker(events);
    expectEqual(many, words);
    const { codes, faults } = { codes: many.codes.slice(), faults: many.faults.slice() };
    expect(many.unpack(bytes)).toBe(4);
    expect(many.codes).toEqual(codes);
    expect(many.faults).toEqual(faults);
  });

  it.each([1, 64, 4096])('has room for %i rows', (rows) => {
    expectEqual(new WordUnpacker(rows), new Int32Array(rows * OBJECTS_PER_EVENT).fill(packWord(4095, 0, -288)));
  });
});
