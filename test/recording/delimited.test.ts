import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { BlockPool, type Block } from '#nae/memory/block-pool.js';
import { readDelimited } from '#nae/recording/delimited.js';

import { collect } from './recordings.js';

describe('message framing', () => {
  it('does not depend on how the stream is cut into chunks', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 10 }),
        async (messages, sizes) => {
          const stream = Buffer.concat(
            messages.flatMap((message) => {
              const { length } = message;
              return [Uint8Array.from(length < 128 ? [length] : [(length & 127) | 128, length >> 7]), message];
            }),
          );
          async function* chunks(): AsyncGenerator<Uint8Array> {
            for (let at = 0, turn = 0; at < stream.length; turn++) {
              const size = sizes[turn % sizes.length]!;
              yield await Promise.resolve(stream.subarray(at, at + size));
              at += size;
            }
          }
          const read = await collect(readDelimited(chunks(), 'stream'));
          expect(read.map(({ bytes }) => new Uint8Array(bytes))).toEqual(messages);
        },
      ),
    );
  });

  it('never overwrites a message that is not released, and reuses the memory of those that are', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.uint8Array({ maxLength: 100 }), fc.boolean()), { maxLength: 40 }),
        async (messages) => {
          const stream = Buffer.concat(messages.flatMap(([message]) => [Uint8Array.of(message.length), message]));
          const pool = new BlockPool(64);
          async function* blocks(): AsyncGenerator<Block | Uint8Array> {
            for (let at = 0; at < stream.length; at += 64) {
              const block = pool.take();
              const part = stream.subarray(at, at + 64);
              block.bytes.set(part);
              yield await Promise.resolve(part.length === 64 ? block : block.bytes.subarray(0, part.length));
            }
          }
          const kept: { bytes: Uint8Array; expected: Uint8Array }[] = [];
          let number = 0;
          for await (const { bytes, release } of readDelimited(blocks(), 'stream', pool)) {
            const [expected, keep] = messages[number++]!;
            expect(new Uint8Array(bytes)).toEqual(expected);
            if (keep) kept.push({ bytes, expected });
            else release();
          }
          expect(number).toBe(messages.length);
          for (const { bytes, expected } of kept) expect(new Uint8Array(bytes)).toEqual(expected);
        },
      ),
    );
    const pool = new BlockPool(64);
    const first = pool.take();
    const { bytes } = first;
    first.hold().release();
    expect(pool.take().bytes).not.toBe(bytes);
    first.release();
    expect(pool.take().bytes).toBe(bytes);
  });
});
