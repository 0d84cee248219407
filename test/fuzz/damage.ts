/** Damage to files: what bits, cuts and hostile numbers do to bytes that were sound. */
import type { Random } from './mutated-frames.js';

/** Numbers that sizes, counts and addresses go wrong with; little-endian, 1 to 8 bytes. */
const HOSTILE = [
  0n,
  1n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
];

/** A damaged copy. @param hot - where damage tells most: the first bytes, in half of all cases */
export function damagedBytes(sound: Uint8Array, random: Random, hot = sound.length): Uint8Array {
  let bytes = Uint8Array.from(sound);
  for (let times = 1 + random.below(3); times > 0 && bytes.length > 0; times--) {
    const at = random.below(random.below(2) === 0 ? Math.min(hot, bytes.length) : bytes.length);
    switch (random.below(6)) {
      case 0:
        bytes = bytes.slice(0, at);
        break;
      case 1:
        bytes[at]! ^= 1 << random.below(8);
        break;
      case 2: {
        const value = random.of(HOSTILE);
        for (let byte = 0; byte < random.of([1, 2, 4, 8]) && at + byte < bytes.length; byte++) {
          bytes[at + byte] = Number((value >> BigInt(8 * byte)) & 0xffn);
        }
        break;
      }
      case 3:
        bytes = Uint8Array.from([
          ...bytes.subarray(0, at),
          random.below(256),
          random.below(256),
          ...bytes.subarray(at),
        ]);
        break;
      case 4: {
        const from = random.below(bytes.length);
        bytes.copyWithin(at, from, from + random.below(64));
        break;
      }
      default:
        bytes.fill(random.of([0, 0xff]), at, at + random.below(32));
    }
  }
  return bytes;
}

const HOSTILE_VALUES = [
  'null',
  'true',
  '-1',
  '0',
  '1e999',
  '-1e999',
  '1e308',
  '9007199254740993',
  '""',
  '"\\u0000"',
  '[]',
  '{}',
  '[[[[]]]]',
  'NaN',
  `"${'x'.repeat(2000)}"`,
  `${'['.repeat(500)}${']'.repeat(500)}`,
];
const HOSTILE_KEYS = ['__proto__', 'constructor', 'prototype', 'toString', 'valueOf', 'length', '', 'toJSON'];

/** JSON with a value, a key or a piece of it replaced, doubled or lost; sometimes no JSON any more. */
export function damagedJson(sound: string, random: Random): string {
  let text = sound;
  for (let times = 1 + random.below(3); times > 0; times--) {
    const values = [...text.matchAll(/-?\d+(\.\d+)?([eE][+-]?\d+)?|"[^"\\]*"|true|false|null/g)];
    const { 0: old, index } = values.length === 0 ? { 0: '', index: 0 } : random.of(values);
    const isKey = /^\s*:/.test(text.slice(index + old.length));
    const around = (middle: string): string => text.slice(0, index) + middle + text.slice(index + old.length);
    switch (random.below(5)) {
      case 0:
        text = around(isKey ? JSON.stringify(random.of(HOSTILE_KEYS)) : random.of(HOSTILE_VALUES));
        break;
      case 1:
        text = around(
          isKey ? `${JSON.stringify(random.of(HOSTILE_KEYS))}: ${random.of(HOSTILE_VALUES)}, ${old}` : old + old,
        );
        break;
      case 2:
        text = around('');
        break;
      case 3:
        text = text.slice(0, random.below(text.length + 1));
        break;
      default:
        text = around(random.of(['{', '}', '[', ']', ',', ':', '"', '\\', '\u2028', '\ud800', '/*', '-']));
    }
  }
  return text;
}
