/** The ledger of decisions, written by real processes and verified by others. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { startLocalBroker, type LocalBroker } from '#nae/broker/local-broker.js';
import { decodeAcceptedEvent, encodeAcceptedEvent, type AcceptedEvent } from '#nae/event/accepted-event.js';
import { createKafka } from '#nae/kafka/client.js';
import { chainOf, decodeLedgerEntry, encodeLedgerEntry, type LedgerEntry } from '#nae/ledger/entry.js';
import { silentLogger } from '#nae/telemetry/logger.js';
import { Partitioners, type Producer } from 'kafkajs';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { cli, runCli, startCli } from '../fixtures/cli.js';
import { readTopic } from '../fixtures/read-topic.js';

const RECORDING = 'test/fixtures/adc2021-sample.h5';
const folder = mkdtempSync(join(tmpdir(), 'nae-ledger-'));
let broker: LocalBroker;
let producer: Producer;

beforeAll(async () => {
  broker = await startLocalBroker({
    log: silentLogger(),
    topics: ['in', 'shared', 'menus'].map((name) => ({ name, partitions: 2 })),
  });
  producer = createKafka(broker, silentLogger()).producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
});

afterAll(async () => {
  await producer.disconnect();
  await broker.stop();
  rmSync(folder, { recursive: true, force: true });
});

const model = ['--model', 'ae-events-s', '--threshold', '0.01', '--workers', '1'];

function kafka(...more: string[]): string[] {
  return [...more, '--brokers', broker.brokers.join(',')];
}

const RUN = ['run', '--source', 'kafka:in', '--sink', 'kafka:out', ...model];

async function verify(sink: string, source: string, ...more: string[]): Promise<Verdict> {
  const args = kafka('verify', '--source', source, '--sink', sink, '--json', '-', ...more);
  const { code, stdout, stderr } = await runCli(args);
  return { code, stderr, result: stdout === '' ? {} : (JSON.parse(stdout) as Record<string, unknown>) };
}

interface Verdict {
  readonly code: number | null;
  readonly stderr: string;
  readonly result: Record<string, unknown>;
}

async function entriesOf(topic: string): Promise<LedgerEntry[]> {
  return (await readTopic(broker.brokers, topic)).flat().map(({ value }) => decodeLedgerEntry(value!));
}

async function eventsOf(topic: string): Promise<AcceptedEvent[]> {
  return (await readTopic(broker.brokers, topic)).flat().map(({ value }) => decodeAcceptedEvent(value!));
}

/** Topics with these accepted events and a ledger of them. */
async function write(name: string, events: readonly AcceptedEvent[], entries: readonly LedgerEntry[]): Promise<void> {
  await producer.sendBatch({
    topicMessages: [
      {
        topic: name,
        messages: events.map((event) => ({ value: Buffer.from(encodeAcceptedEvent(event)), partition: 0 })),
      },
      {
        topic: `${name}-ledger`,
        messages: entries.map((entry) => ({
          value: Buffer.from(encodeLedgerEntry({ ...entry, sink: name })),
          partition: 0,
        })),
      },
    ],
  });
}

const positionOf = ({ position, index }: AcceptedEvent): string => `${position.partition}/${position.offset}/${index}`;
const byPosition = (a: AcceptedEvent, b: AcceptedEvent): number =>
  a.position.partition - b.position.partition || Number(a.position.offset - b.position.offset) || a.index - b.index;

/** Entries of a topic continue one another, whichever process wrote them. */
function expectChains(entries: readonly LedgerEntry[]): void {
  for (const partition of new Set(entries.map((entry) => entry.partition))) {
    let chain: Uint8Array = new Uint8Array(0);
    for (const { previous, chain: after, frames } of entries.filter((entry) => entry.partition === partition)) {
      expect(Buffer.from(previous)).toEqual(Buffer.from(chain));
      expect(Buffer.from(chainOf(previous, frames))).toEqual(Buffer.from(after));
      chain = after;
    }
  }
}

test('identical over a restart; then the first event or frame that differs is named', async () => {
  const replay = kafka('replay', RECORDING, '--to', 'kafka:in', '--frame-events', '50');
  await cli(...replay, '--run', '1');
  await cli(...kafka(...RUN, '--stop-at-end'));
  await cli(...replay, '--run', '2');
  await cli(...kafka(...RUN, '--stop-at-end'));

  const entries = await entriesOf('l1.ledger');
  const published = (await eventsOf('out')).sort(byPosition);
  expect(published.length).toBeGreaterThan(10);
  expect(entries.every(({ atLeastOnce, sink }) => !atLeastOnce && sink === 'out')).toBe(true);
  expectChains(entries);
  const identical = await verify('kafka:out', 'kafka:in', ...model);
  expect(identical.result.difference).toBeUndefined();
  expect(identical).toMatchObject({
    code: 0,
    result: { verdict: 'identical', accepted: published.length, repeated: 0 },
  });

  const other = await verify('kafka:out', 'kafka:in', '--model', 'ae-events-s', '--threshold', '0.02');
  expect(other.code).toBe(2);
  expect(other.stderr).toMatch(
    /l1\.ledger: \d\/\d+ was decided by ae-events-s, model [0-9a-f]{64}, threshold 0\.0099.*expected 0\.0199/,
  );

  const event = published[5]!;
  const score = { ...event, paths: event.paths.map((path) => ({ ...path, score: path.score * 1.0001 })) };
  const number = entries.findIndex(({ partition }) => partition === event.position.partition);
  const planted: [string, AcceptedEvent[], LedgerEntry[], string][] = [
    ['none', published, entries, ''],
    ['removed', published.toSpliced(5, 1), entries, positionOf(event)],
    ['duplicated', [...published, event], entries, positionOf(event)],
    ['score', published.with(5, score), entries, positionOf(event)],
    ['missing', published, entries.toSpliced(number, 1), ''],
  ];
  const missing = new Set(entries[number]!.frames.map(({ offset }) => offset));
  const first = published.find(
    ({ position }) => position.partition === event.position.partition && missing.has(position.offset),
  );
  const admin = createKafka(broker, silentLogger()).admin();
  await admin.connect();
  await admin.createTopics({
    topics: planted.flatMap(([name]) => [name, `${name}-ledger`].map((topic) => ({ topic, numPartitions: 1 }))),
  });
  await admin.disconnect();
  for (const [name, ofEvents, ofEntries, where] of planted) {
    await write(name, ofEvents, ofEntries);
    const { code, result } = await verify(`kafka:${name}`, 'kafka:in', '--ledger', `${name}-ledger`, ...model);
    const difference = result.difference as { where: string } | undefined;
    if (name === 'missing') {
      // Its first frame, or an event of it.
      expect(difference?.where).toMatch(
        new RegExp(`^${event.position.partition}/${entries[number]!.frames[0]!.offset}\\b`),
      );
      expect(first).toBeDefined();
    } else expect([name, difference?.where ?? '']).toEqual([name, where]);
    expect(code).toBe(name === 'none' ? 0 : 1);
  }
});

test("processes of a group that hand partitions over go on with each other's chains", async () => {
  const frames = join(folder, 'frames.l1f');
  await cli('convert', 'models/recordings/sample.l1f.zst', frames, '--frame-events', '512');
  const rare = ['--model', 'nae-events-s', '--target-rate', '1e-2', '--workers', '1'];
  const args = kafka('run', '--source', 'kafka:shared', '--sink', 'kafka:shared-out', '--group', 'shared', ...rare);
  const first = startCli(args);
  await first.said('partitions assigned');
  // About fifteen seconds.
  const feeding = cli(...kafka('replay', frames, '--to', 'kafka:shared', '--pace', 'lhc', '--speed', '0.0006'));
  await sleep(2_000);
  const second = startCli(args);
  await second.said('partitions assigned');
  await sleep(3_000);
  first.process.kill('SIGTERM');
  expect((await first.finished).code).toBe(143);
  const third = startCli(args);
  await third.said('partitions assigned');
  await sleep(1_000);
  second.process.kill('SIGKILL');
  await second.finished;
  await feeding;
  third.process.kill('SIGTERM');
  await third.finished;
  await cli(...args, '--stop-at-end');

  const entries = (await entriesOf('l1.ledger')).filter(({ source }) => source === 'shared');
  expectChains(entries);
  expect(new Set(entries.map(({ partition }) => partition)).size).toBe(2);
  const { code, result } = await verify('kafka:shared-out', 'kafka:shared', ...rare);
  expect(result.difference).toBeUndefined();
  expect(result).toMatchObject({ verdict: 'identical', frames: 687, frames_outside_ledger: 0, repeated: 0 });
  expect(code).toBe(0);
}, 300_000);

test('a menu that took over while running is found in the ledger, and every model is asked for', async () => {
  const config = join(folder, 'menu.yaml');
  writeFileSync(config, 'model: [ae-events-s]\nthreshold: [0.01]\n');
  const running = startCli(
    kafka(
      'run',
      '--source',
      'kafka:menus',
      '--sink',
      'kafka:menus-out',
      '--group',
      'menus',
      '--config',
      config,
      '--workers',
      '1',
      '--shadow-events',
      '0',
    ),
  );
  await running.said('partitions assigned');
  const replay = (run: string): Promise<string> =>
    cli(...kafka('replay', RECORDING, '--to', 'kafka:menus', '--frame-events', '50', '--run', run));
  await replay('1');
  while ((await entriesOf('l1.ledger')).every(({ source }) => source !== 'menus')) await sleep(200);
  writeFileSync(config, 'model: [nae-events-s]\nthreshold: [0.02]\n');
  running.process.kill('SIGHUP');
  await running.said('menu taken');
  await replay('2');
  running.process.kill('SIGTERM');
  await running.finished;
  const args = ['run', '--source', 'kafka:menus', '--sink', 'kafka:menus-out', '--group', 'menus', '--config', config];
  await cli(...kafka(...args, '--stop-at-end'));

  const former = ['--model', 'ae-events-s', '--threshold', '0.01'];
  const missing = await verify('kafka:menus-out', 'kafka:menus', ...former);
  expect(missing.code).toBe(2);
  expect(missing.stderr).toMatch(
    /l1\.ledger: \d\/\d+ was decided by nae-events-s, model [0-9a-f]{64}.*the bundle is missing/,
  );
  const both = await verify(
    'kafka:menus-out',
    'kafka:menus',
    ...former,
    '--model',
    'nae-events-s',
    '--threshold',
    '0.02',
  );
  expect(both.result.difference).toBeUndefined();
  expect(both.code).toBe(0);
  const { menus, swaps } = both.result as { menus: unknown[]; swaps: { at: string; from: string; to: string }[] };
  expect(menus).toHaveLength(2);
  expect(swaps.length).toBeGreaterThan(0);
  for (const { at, from, to } of swaps) {
    expect(at).toMatch(/^\d\/\d+$/);
    expect(from).toMatch(/^ae-events-s /);
    expect(to).toMatch(/^nae-events-s /);
  }
  expect(new Set(swaps.map(({ at }) => at.split('/')[0])).size).toBe(swaps.length);
}, 300_000);

test('between a recording and a topic, what delivery at least once allows is no difference', async () => {
  const recording = join(folder, 'in.l1f');
  await cli('convert', RECORDING, recording, '--frame-events', '50');
  const toTopic = kafka('run', '--source', recording, '--sink', 'kafka:mixed', ...model);
  await cli(...toTopic);
  const once = await verify('kafka:mixed', recording, ...model);
  expect(once).toMatchObject({ code: 0, result: { verdict: 'identical', repeated: 0 } });
  await cli(...toTopic);
  const twice = await verify('kafka:mixed', recording, ...model);
  const { frames, accepted } = twice.result as { frames: number; accepted: number };
  expect(accepted).toBeGreaterThan(0);
  expect(twice).toMatchObject({ code: 0, result: { verdict: 'identical', repeated: frames + accepted } });
  // An event that is not a repetition is a difference all the same.
  const [event] = await eventsOf('mixed');
  const value = Buffer.from(encodeAcceptedEvent({ ...event!, index: 49 }));
  await producer.send({ topic: 'mixed', messages: [{ value }] });
  expect(await verify('kafka:mixed', recording, ...model)).toMatchObject({ code: 1 });

  const output = join(folder, 'out.l1f');
  await cli(...kafka('run', '--source', 'kafka:in', '--sink', output, '--group', 'mixed', ...model, '--stop-at-end'));
  const fromTopic = await verify(output, 'kafka:in', ...model);
  expect(fromTopic.result.difference).toBeUndefined();
  expect(fromTopic).toMatchObject({ code: 0, result: { verdict: 'identical' } });
});

test('--ledger none writes none; at least once writes one', async () => {
  const args = ['run', '--source', 'kafka:in', '--sink', 'kafka:other', ...model, '--stop-at-end'];
  await cli(...kafka(...args, '--group', 'none', '--ledger', 'none'));
  expect((await eventsOf('other')).length).toBeGreaterThan(10);
  const ofOther = async (): Promise<LedgerEntry[]> =>
    (await entriesOf('l1.ledger')).filter(({ sink }) => sink === 'other');
  expect(await ofOther()).toHaveLength(0);
  await cli(...kafka(...args, '--group', 'loose', '--delivery', 'at-least-once'));
  expect((await ofOther()).every(({ atLeastOnce }) => atLeastOnce)).toBe(true);
  // The events of the run without a ledger are the same: nobody can tell which are the repetitions.
  expect(await verify('kafka:other', 'kafka:in', ...model)).toMatchObject({
    code: 0,
    result: { verdict: 'identical' },
  });
});
