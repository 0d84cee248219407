import { SentLetters } from '#nae/dead-letter/sent-letters.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

describe('sent letters', () => {
  test('any letters, any choices of several calls: each is sent once, and the offset is that of the first not sent', () => {
    const numbers = fc
      .uniqueArray(fc.nat(60), { minLength: 1, maxLength: 20 })
      .map((values) => values.sort((a, b) => a - b).map(BigInt));
    fc.assert(
      fc.property(
        numbers,
        fc.array(fc.infiniteStream(fc.boolean()), { minLength: 1, maxLength: 4 }),
        (letters, calls) => {
          const sent = new Set<bigint>();
          let stored: { offset: string; metadata: string | null } = { offset: '-1', metadata: null };
          for (const choices of calls) {
            const memory = SentLetters.parse(BigInt(stored.offset), stored.metadata);
            let touched = false;
            for (const letter of letters) {
              expect(memory.meet(letter)).toBe(sent.has(letter));
              if (choices.next().value !== true || sent.has(letter)) continue;
              memory.sent(letter);
              sent.add(letter);
              touched = true;
            }
            if (touched) stored = memory.format();
            const missing = letters.find((letter) => !sent.has(letter));
            if (touched && missing !== undefined) expect(BigInt(stored.offset)).toBe(missing);
          }
        },
      ),
    );
  });

  test('numbers that hold no letter leave no gap, so that an offset is all that is stored', () => {
    const memory = SentLetters.parse(-1n, null);
    for (const letter of [5n, 7n, 9n]) {
      expect(memory.meet(letter)).toBe(false);
      memory.sent(letter);
    }
    expect(memory.format()).toEqual({ offset: '10', metadata: '' });
  });

  test('refuses more gaps than brokers take', () => {
    const memory = SentLetters.parse(-1n, null);
    for (let letter = 0n; letter < 4000n; letter++) {
      memory.meet(letter);
      if (letter % 2n === 1n) memory.sent(letter);
    }
    expect(() => memory.format()).toThrow(/gaps/);
  });
});
