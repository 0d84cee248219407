/** The ledger of decisions, written by real processes and verified by others. */
import { startLocalBroker, type LocalBroker } from '#nae/broker/local-broker.js';
import { decodeAcceptedEvent, encodeAcceptedEvent } from '#nae/event/accepted-event.js';
import { createKafka } from '#nae/kafka/client.js';
import { chainOf, decodeLedgerEntry, encodeLedgerEntry } from '#nae/ledger/entry.js';
import { silentLogger } from '#nae/telemetry/logger.js';
import { Partitioners, type Producer } from 'kafkajs';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { cli, runCli } from '../fixtures/cli.js';
import { readTopic } from '../fixtures/read-topic.js';

const RECORDING = 'test/fixtures/adc2021-sample.h5';
let broker: LocalBroker;
let producer: Producer;

beforeAll(async () => {
  broker = await startLocalBroker({ log: silentLogger(), topics: [{ name: 'in', partitions: 2 }] });
  producer = createKafka(broker, silentLogger()).producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
});

afterAll(async () => {
  await producer.disconnect();
  await broker.stop();
});

const model = ['--model', 'ae-events-s', '--threshold', '0.01', '--workers', '1'];

function kafka(...more: string[]): string[] {
  return [...more, '--brokers', broker.brokers.join(',')];
}

async function runToEnd(): Promise<void> {
  await cli(...kafka('run', '--source', 'kafka:in', '--sink', 'kafka:out', ...model, '--stop-at-end'));
}

async function verify(...more: string[]): Promise<{ code: number | null; result: Record<string, unknown> }> {
  const args = kafka('verify', '--source', 'kafka:in', '--sink', 'kafka:out', ...model, '--json', '-', ...more);
  const { code, stdout } = await runCli(args);
  return { code, result: JSON.parse(stdout) as Record<string, unknown> };
}

test('identical over a restart; then the first event or frame that differs is named', async () => {
  const replay = kafka('replay', RECORDING, '--to', 'kafka:in', '--frame-events', '50');
  await cli(...replay, '--run', '1');
  await runToEnd();
  await cli(...replay, '--run', '2');
  await runToEnd();

  const entries = (await readTopic(broker.brokers, 'l1.ledger')).flat().map(({ value }) => decodeLedgerEntry(value!));
  const published = (await readTopic(broker.brokers, 'out')).flat();
  expect(published.length).toBeGreaterThan(10);
  for (const partition of new Set(entries.map((entry) => entry.partition))) {
    // the second process goes on with the chain of the first
    let chain: Uint8Array = new Uint8Array(0);
    for (const { previous, chain: after, frames } of entries.filter((entry) => entry.partition === partition)) {
      expect(Buffer.from(previous)).toEqual(Buffer.from(chain));
      expect(Buffer.from(chainOf(previous, frames))).toEqual(Buffer.from(after));
      chain = after;
    }
  }
  const identical = await verify();
  expect(identical.result.difference).toBeUndefined();
  expect(identical).toMatchObject({ code: 0, result: { verdict: 'identical', accepted: published.length } });

  const other = await runCli(
    kafka('verify', '--source', 'kafka:in', '--sink', 'kafka:out', '--model', 'ae-events-s', '--threshold', '0.02'),
  );
  expect(other.code).toBe(2);
  expect(other.stderr).toContain('was decided by ae-events-s');

  // an event that is there twice is named, with what was expected
  const event = decodeAcceptedEvent(published[5]!.value!);
  const score = event.paths[0]!.score;
  await producer.send({
    topic: 'out',
    messages: [{ key: '9/9', value: Buffer.from(encodeAcceptedEvent(event)) }],
  });
  const twice = await verify();
  const { partition, offset } = event.position;
  expect(twice.code).toBe(1);
  expect(twice.result).toMatchObject({
    verdict: 'different',
    difference: {
      where: `${partition}/${offset}/${event.index}`,
      expected: 'not accepted',
      received: expect.stringContaining(String(score)) as string,
    },
  });

  // so is a line of the ledger that somebody changed
  const last = entries.filter((entry) => entry.partition === partition).at(-1)!;
  const forged = { ...last, previous: last.chain, frames: last.frames.slice(0, 1) };
  await producer.send({
    topic: 'l1.ledger',
    messages: [{ key: `in/${partition}`, value: Buffer.from(encodeLedgerEntry(forged)) }],
  });
  const changed = await verify();
  expect(changed.code).toBe(1);
  expect(changed.result).toMatchObject({ difference: { where: `${partition}/${forged.frames[0]!.offset}` } });
});

test('--ledger none writes none', async () => {
  const args = ['run', '--source', 'kafka:in', '--sink', 'kafka:other', '--group', 'other', ...model, '--stop-at-end'];
  const before = (await readTopic(broker.brokers, 'l1.ledger')).flat().length;
  await cli(...kafka(...args, '--ledger', 'none'));
  expect((await readTopic(broker.brokers, 'other')).flat().length).toBeGreaterThan(10);
  expect((await readTopic(broker.brokers, 'l1.ledger')).flat()).toHaveLength(before);
});
