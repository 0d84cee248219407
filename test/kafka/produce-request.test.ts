/** Produce requests, byte for byte those of kafkajs. */
import { createRequire } from 'node:module';

import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { decodeFetchResponse } from '#nae/kafka/fetch-response.js';
import { encodeProduceRequest, type ProduceRequest } from '#nae/kafka/produce-request.js';

const require = createRequire(import.meta.url);

interface KafkajsRequest {
  readonly apiVersion: number;
  encode(): Promise<{ readonly buffer: Buffer }>;
}
const reference = require('kafkajs/src/protocol/requests/produce/v7/request.js') as (
  request: ProduceRequest,
) => KafkajsRequest;
const Long = require('kafkajs/src/utils/long.js') as { fromValue(value: string): { toString(): string } };

const NOW_MS = 1_795_000_000_000;
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const timestamp = fc.integer({ min: NOW_MS - 2 ** 33, max: NOW_MS + 2 ** 33 }).map(String);
/** All messages of a partition have a timestamp, or none has. */
const messages = fc.boolean().chain((timed) =>
  fc.array(
    fc.record(
      {
        key: fc.oneof(fc.constant(null), bytes, fc.string()),
        value: fc.oneof(fc.constant(null), bytes),
        headers: fc.dictionary(fc.string(), fc.oneof(bytes, fc.string(), fc.array(bytes, { maxLength: 3 }))),
        ...(timed ? { timestamp } : {}),
      },
      { requiredKeys: ['value', ...(timed ? (['timestamp'] as const) : [])] },
    ),
    { minLength: 1, maxLength: 70 },
  ),
);
const request: fc.Arbitrary<ProduceRequest> = fc.record(
  {
    acks: fc.constantFrom(1, -1),
    timeout: fc.integer({ min: 1, max: 60_000 }),
    transactionalId: fc.oneof(fc.constant(null), fc.constant(''), fc.string()),
    producerId: fc.bigInt({ min: -1n, max: 2n ** 62n }).map((id) => Long.fromValue(String(id))),
    producerEpoch: fc.integer({ min: 0, max: 32_767 }),
    topicData: fc.array(
      fc.record({
        topic: fc.string({ minLength: 1 }),
        partitions: fc.array(fc.record({ partition: fc.nat(100), firstSequence: fc.nat(2 ** 31 - 1), messages }), {
          maxLength: 3,
        }),
      }),
      { maxLength: 2 },
    ),
  },
  { requiredKeys: ['acks', 'timeout', 'topicData'] },
);

describe('a produce request', () => {
  // Both take messages without a timestamp to be of now: the clock stands still between the two.
  beforeEach(() => vi.useFakeTimers({ toFake: ['Date'], now: NOW_MS }));
  afterEach(() => vi.useRealTimers());

  it('is the one that kafkajs writes, checksums included', async () => {
    await fc.assert(
      fc.asyncProperty(request, async (asked) => {
        const ours = encodeProduceRequest(asked);
        const theirs = await reference(asked).encode();
        expect(ours.equals(theirs.buffer)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('holds records that a fetch shows as they were sent', async () => {
    const value = Buffer.alloc(200_000, 'L1');
    const sent = encodeProduceRequest({
      ...{ acks: 1, timeout: 1 },
      topicData: [{ topic: 't', partitions: [{ partition: 0, messages: [{ key: 'run/orbit', value }, { value }] }] }],
    });
    // transactional_id, acks, timeout; one topic, its name, one partition, its number; then the size of the batch.
    const set = sent.subarray(2 + 2 + 4 + 4 + 3 + 4 + 4);
    const response = Buffer.concat([
      Buffer.from('00000000' + '00000001' + '000174' + '00000001', 'hex'),
      Buffer.from('00000000' + '0000' + '0000000000000002' + '0000000000000002' + '00000000', 'hex'),
      set,
    ]);
    const { responses } = await decodeFetchResponse(response, 4);
    const shown = responses[0]!.partitions[0]!.messages;
    expect(shown.map(({ offset }) => offset)).toEqual(['0', '1']);
    expect(shown.map(({ key }) => key?.toString())).toEqual(['run/orbit', undefined]);
    for (const record of shown) expect(record.value!.equals(value)).toBe(true);
  });
});
