import { gzipSync } from 'node:zlib';

import { decodeFetchResponse } from '#nae/kafka/fetch-response.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

/** Bytes of the protocol, written as the specification states them. */
const int = (bytes: 1 | 2 | 4, value: number): Buffer => {
  const buffer = Buffer.alloc(bytes);
  buffer.writeIntBE(value, 0, bytes);
  return buffer;
};
const int64 = (value: bigint): Buffer => {
  const buffer = Buffer.alloc(8);
  buffer.writeBigInt64BE(value);
  return buffer;
};
const varint = (value: number): Buffer => {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n));
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Buffer.from([...bytes, Number(rest)]);
};
const sized = (bytes: Buffer | null): Buffer =>
  bytes === null ? varint(-1) : Buffer.concat([varint(bytes.length), bytes]);

interface Written {
  readonly delta: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers?: readonly (readonly [string, Buffer | null])[];
}

function recordOf({ delta, key, value, headers = [] }: Written): Buffer {
  const fields = [int(1, 0), varint(delta * 3), varint(delta), sized(key), sized(value), varint(headers.length)];
  for (const [name, content] of headers) fields.push(sized(Buffer.from(name)), sized(content));
  return sized(Buffer.concat(fields));
}

interface BatchOptions {
  readonly producerId?: number;
  readonly attributes?: number;
  readonly lastDelta?: number;
  readonly magic?: number;
}

const GZIP = 1;
const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;

function batchOf(base: number, records: readonly Written[], options: BatchOptions = {}): Buffer {
  const { producerId = -1, attributes = 0, magic = 2 } = options;
  const lastDelta = options.lastDelta ?? records.at(-1)?.delta ?? 0;
  const plain = Buffer.concat(records.map(recordOf));
  const body = Buffer.concat([
    int(4, 0), // partition leader epoch
    int(1, magic),
    int(4, 0), // checksum
    int(2, attributes),
    int(4, lastDelta),
    int64(1000n),
    int64(2000n),
    int64(BigInt(producerId)),
    int(2, 0),
    int(4, 0),
    int(4, records.length),
    (attributes & 7) === GZIP ? gzipSync(plain) : plain,
  ]);
  return Buffer.concat([int64(BigInt(base)), int(4, body.length), body]);
}

const marker = (base: number, producerId: number, commit: boolean): Buffer =>
  batchOf(base, [{ delta: 0, key: Buffer.from([0, 0, 0, commit ? 1 : 0]), value: Buffer.alloc(6) }], {
    producerId,
    attributes: TRANSACTIONAL | CONTROL,
  });

type Aborted = readonly { readonly producerId: number; readonly firstOffset: number }[];

function responseOf(set: Buffer, aborted: Aborted = [], version = 11): Buffer {
  const since = (first: number, bytes: Buffer): Buffer => (version >= first ? bytes : Buffer.alloc(0));
  return Buffer.concat([
    int(4, 7),
    since(7, Buffer.concat([int(2, 0), int(4, 5)])),
    int(4, 1),
    int(2, 3),
    Buffer.from('l1x'),
    int(4, 1),
    int(4, 2), // partition
    int(2, 0),
    int64(90n),
    int64(90n),
    since(5, int64(0n)),
    int(4, aborted.length),
    ...aborted.flatMap(({ producerId, firstOffset }) => [int64(BigInt(producerId)), int64(BigInt(firstOffset))]),
    since(11, int(4, -1)),
    int(4, set.length),
    set,
  ]);
}

async function messagesOf(response: Buffer, version = 11) {
  const { responses } = await decodeFetchResponse(response, version);
  return responses[0]!.partitions[0]!.messages;
}

const value = (text: string): Written['value'] => Buffer.from(text);

describe('a response to a fetch', () => {
  it.each([4, 5, 7, 8, 11])('is read as version %i lays it out', async (version) => {
    const set = batchOf(40, [{ delta: 0, key: value('k'), value: value('v') }]);
    const { responses, throttleTime, clientSideThrottleTime } = await decodeFetchResponse(
      responseOf(set, [], version),
      version,
    );
    expect(version >= 8 ? clientSideThrottleTime : throttleTime).toBe(7);
    expect(responses[0]).toMatchObject({ topicName: 'l1x', partitions: [{ partition: 2, highWatermark: '90' }] });
    expect(responses[0]!.partitions[0]!.messages).toMatchObject([{ offset: '40', isControlRecord: false }]);
  });

  it.each([0, GZIP])('holds records with all that belongs to them, compressed as %i', async (attributes) => {
    const records = [
      { delta: 0, key: null, value: value('first') },
      {
        delta: 300,
        key: value('run/1'),
        value: null,
        headers: [
          ['a', value('x')],
          ['a', value('y')],
          ['b', null],
        ] as const,
      },
    ];
    expect(await messagesOf(responseOf(batchOf(2 ** 40, records, { attributes })))).toMatchObject([
      { offset: String(2 ** 40), key: null, value: value('first'), timestamp: '1000', headers: {} },
      {
        offset: String(2 ** 40 + 300),
        key: value('run/1'),
        value: null,
        timestamp: '1900',
        headers: { a: [value('x'), value('y')], b: undefined },
      },
    ]);
  });

  it('keeps the place of what compaction removed, and leaves a batch that was cut to the next fetch', async () => {
    const first = batchOf(10, [{ delta: 1, key: null, value: value('v') }], { lastDelta: 5 });
    const cut = batchOf(16, [{ delta: 0, key: null, value: value('w') }]).subarray(0, -1);
    expect(await messagesOf(responseOf(Buffer.concat([first, cut])))).toMatchObject([
      { offset: '11', isControlRecord: false },
      { offset: '15', isControlRecord: true },
    ]);
  });

  it('is refused where its batches are none that are known or do not hold together', async () => {
    const old = batchOf(3, [{ delta: 0, key: null, value: null }], { magic: 1 });
    await expect(messagesOf(responseOf(old))).rejects.toThrow(/offset 3: expected format 2 .* received format 1/);
    const whole = batchOf(3, [{ delta: 0, key: null, value: value('w') }]);
    whole.writeInt32BE(9, 57); // more records than there are
    await expect(messagesOf(responseOf(whole))).rejects.toMatchObject({ code: 'BROKER_FAILED' });
  });

  it('never hangs or throws anything else on damaged records', async () => {
    const set = batchOf(0, [
      { delta: 0, key: value('key'), value: value('value'), headers: [['h', value('x')]] },
      { delta: 1, key: null, value: value('value') },
    ]);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 61, max: set.length - 1 }), fc.nat(255), async (at, byte) => {
        const damaged = Buffer.from(set);
        damaged[at] = byte;
        const outcome = await messagesOf(responseOf(damaged)).catch((error: unknown) => error);
        expect(Array.isArray(outcome) || (outcome as { code?: string }).code === 'BROKER_FAILED').toBe(true);
      }),
    );
  });

  it('shows what was committed and nothing else, wherever it begins', async () => {
    const step = fc.tuple(
      fc.nat(3),
      fc.constantFrom('record' as const, 'record' as const, 'commit' as const, 'abort' as const),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.nat(60), async (steps, from) => {
        const { batches, aborted, visible } = logOf(steps);
        // A broker lists what overlaps with the fetch, by where it ended.
        const listed = aborted.filter(({ marker: end }) => end >= from);
        const messages = await messagesOf(responseOf(Buffer.concat(batches.slice(from)), listed));
        const shown = messages.filter(({ isControlRecord }) => !isControlRecord).map(({ offset }) => Number(offset));
        expect(shown).toEqual(visible.filter((offset) => offset >= from).sort((a, b) => a - b));
        expect(messages.map(({ offset }) => Number(offset))).toEqual(batches.map((_, offset) => offset).slice(from));
      }),
    );
  });
});

/** A partition's log of interleaved transactions, a batch for each offset. */
function logOf(steps: readonly (readonly [producerId: number, what: 'record' | 'commit' | 'abort'])[]) {
  const batches: Buffer[] = [];
  const aborted: { producerId: number; firstOffset: number; marker: number }[] = [];
  const visible: number[] = [];
  const open = new Map<number, number[]>();
  const end = (producerId: number, commit: boolean): void => {
    const own = open.get(producerId);
    if (own === undefined) return;
    open.delete(producerId);
    if (commit) visible.push(...own);
    else aborted.push({ producerId, firstOffset: own[0]!, marker: batches.length });
    batches.push(marker(batches.length, producerId, commit));
  };
  for (const [producerId, what] of steps) {
    if (what !== 'record') end(producerId, what === 'commit');
    else {
      open.set(producerId, [...(open.get(producerId) ?? []), batches.length]);
      const record = { delta: 0, key: null, value: value('v') };
      batches.push(batchOf(batches.length, [record], { producerId, attributes: TRANSACTIONAL }));
    }
  }
  for (const producerId of [...open.keys()]) end(producerId, false);
  return { batches, aborted, visible };
}
