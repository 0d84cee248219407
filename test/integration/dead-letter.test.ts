/** Dead letters from their making to their second decision, on the command line and a real broker. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { KafkaMessage } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { startLocalBroker, type LocalBroker } from '#nae/broker/local-broker.js';
import { encodeFrame, singleEventFrame } from '#nae/event/frame.js';
import { connectAdmin, createKafka } from '#nae/kafka/client.js';
import type { StreamSummary } from '#nae/pipeline/stream-totals.js';
import { silentLogger } from '#nae/telemetry/logger.js';

import { cli, runCli } from '../fixtures/cli.js';
import { readTopic } from '../fixtures/read-topic.js';
import { frameOf, plausibleCodes } from '../pipeline/events.js';

const folder = mkdtempSync(join(tmpdir(), 'nae-dead-letter-'));
const file = (name: string): string => join(folder, name);
const log = silentLogger();
let broker: LocalBroker;
let kafka: string[];

const good = frameOf(plausibleCodes(10));
const withBadEvent = frameOf(plausibleCodes(10, 2), { run: 8, orbit: 77 });
withBadEvent.bunchCrossings.set([0, 0], 6);
const faultyEvent = Buffer.from(encodeFrame(singleEventFrame(withBadEvent, 3)));
const faultyFrame = Buffer.from([3, 0xff, 0xff, 0xff]);

interface Sent {
  readonly sent: number;
  readonly sent_before: number;
  readonly topics: Record<string, number>;
}

beforeAll(async () => {
  broker = await startLocalBroker({ log });
  kafka = ['--brokers', broker.brokers.join(',')];
  const client = createKafka(broker, log);
  const admin = await connectAdmin(client, broker);
  await admin.createTopics({
    waitForLeaders: true,
    topics: ['frames', 'elsewhere'].map((topic) => ({ topic, numPartitions: 2 })),
  });
  await admin.disconnect();
  const producer = client.producer();
  await producer.connect();
  const values = [encodeFrame(good), encodeFrame(withBadEvent), faultyFrame].map((bytes) => Buffer.from(bytes));
  await producer.send({ topic: 'frames', messages: values.map((value) => ({ value, partition: 1 })) });
  await producer.disconnect();
}, 120_000);

afterAll(async () => {
  await broker.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function run(group: string, sink = 'kafka:accepted'): Promise<StreamSummary> {
  await cli(
    ...['run', '--source', 'kafka:frames', '--sink', sink, '--dead-letter', 'dead', '--group', group, '--stop-at-end'],
    ...['--model', 'ae-events-s', '--threshold', '0', '--json', file('run.json'), ...kafka],
  );
  return JSON.parse(readFileSync(file('run.json'), 'utf8')) as StreamSummary;
}

async function redrive(place: string, ...args: string[]): Promise<Sent> {
  return JSON.parse(await cli('dead-letter', 'redrive', place, ...args, '--json', '-', ...kafka)) as Sent;
}

async function list(place: string, ...args: string[]): Promise<unknown> {
  return JSON.parse(await cli('dead-letter', 'list', place, ...args, '--json', '-', ...kafka));
}

/** Messages of a topic that came from a dead letter. */
async function redriven(topic: string): Promise<KafkaMessage[]> {
  const all = (await readTopic(broker.brokers, topic)).flat();
  const messages = all.filter(({ headers }) => headers?.['dead-letter-reason'] !== undefined);
  return messages.sort((a, b) => a.value!.length - b.value!.length);
}

describe('dead letters', () => {
  it('of a topic are listed with reason and origin, sent again once, and decided again', async () => {
    expect((await run('first')).events).toMatchObject({ received: 20, accepted: 19, faults: 1 });
    expect(await list('kafka:dead')).toMatchObject({
      selected: 2,
      foreign: 0,
      reasons: { 'crossing-out-of-range': 1, 'not-protobuf': 1 },
    });
    expect(await list('kafka:dead', '--reason', 'crossing-out-of-range', '--source', 'frames')).toMatchObject({
      selected: 1,
      letters: [
        {
          kind: 'event',
          source: { source: 'frames', partition: 1, offset: '1', index: 3 },
          bytes: faultyEvent.length,
          frame: { encoding: 'HW32', run: 8, orbit: 77, bunch_crossing: 0, events: 1 },
        },
      ],
    });
    expect(await list('kafka:dead', '--source', 'other')).toMatchObject({ selected: 0, letters: [] });
    const text = await cli('dead-letter', 'list', 'kafka:dead', '--limit', '1', ...kafka);
    expect(text).toMatch(/from frames, partition 1, offset [12]/);
    expect(text).toContain('kafka:dead: 2 dead letters');
    expect(text).toContain('the first 1 shown');

    expect(await redrive('kafka:dead', '--dry-run')).toMatchObject({ sent: 2, topics: { frames: 2 } });
    expect(await redriven('frames')).toEqual([]);
    // What a filter passes over is not forgotten, and what it takes is not taken again.
    expect(await redrive('kafka:dead', '--reason', 'not-protobuf')).toMatchObject({ sent: 1, sent_before: 0 });
    expect(await redrive('kafka:dead')).toMatchObject({ sent: 1, sent_before: 1, topics: { frames: 1 } });
    expect(await redrive('kafka:dead')).toMatchObject({ sent: 0, sent_before: 2 });
    const [frame, event, ...more] = await redriven('frames');
    expect(more).toEqual([]);
    expect(frame!.value).toEqual(faultyFrame);
    expect(event!.value).toEqual(faultyEvent);
    const header = (name: string): string => String(event!.headers![`dead-letter-${name}`]);
    expect(['reason', 'kind', 'source', 'partition', 'offset', 'index'].map(header)).toEqual(
      ['crossing-out-of-range', 'event', 'frames', '1', '1', '3'], // prettier-ignore
    );

    expect(await run('first')).toMatchObject({
      events: { received: 1, faults: 1 },
      frames: { received: 2, faults: 1 },
    });
    expect(await list('kafka:dead')).toMatchObject({ selected: 4 });
    // The letters of the second decision are new ones.
    expect(await redrive('kafka:dead', '--dry-run')).toMatchObject({ sent: 2, sent_before: 2 });
  });

  it('of a recording sink are listed, and sent again once, to a topic that is named or their own', async () => {
    await run('into-file', file('out.l1f'));
    const place = file('out.l1f.dead-letter.jsonl');
    const all = (await list(place)) as { selected: number };
    expect(all.selected).toBeGreaterThanOrEqual(2);
    const to = ['--to', 'kafka:elsewhere'];
    expect(await redrive(place, ...to, '--limit', '1')).toMatchObject({ sent: 1, topics: { elsewhere: 1 } });
    expect(await redrive(place, ...to)).toMatchObject({ sent: all.selected - 1, sent_before: 1 });
    expect(await redrive(place, ...to)).toMatchObject({ sent: 0, sent_before: all.selected });
    const values = (await redriven('elsewhere')).map(({ value }) => value!.toString('hex'));
    expect(values).toHaveLength(all.selected);
    expect(new Set(values)).toEqual(new Set([faultyFrame.toString('hex'), faultyEvent.toString('hex')]));
    expect(await redrive(place, '--dry-run')).toMatchObject({ topics: { frames: all.selected } });
  });

  it.each(['first', 'second', 'third'])('several at the same time send each letter once: %s race', async (group) => {
    const count = async (): Promise<number> => (await readTopic(broker.brokers, 'elsewhere')).flat().length;
    const there = await count();
    const race = ['kafka:dead', '--to', 'kafka:elsewhere', '--group', group];
    const all = await Promise.all([1, 2, 3].map(() => runCli(['dead-letter', 'redrive', ...race, ...kafka])));
    // One fences another, or each the other.
    for (const { code, stderr } of all) if (code !== 0) expect(stderr).toContain('took over');
    // What neither came to send.
    await redrive(race[0]!, ...race.slice(1));
    const { selected } = (await list('kafka:dead')) as { selected: number };
    expect(selected).toBeGreaterThan(0);
    expect((await count()) - there).toBe(selected);
    expect(await redrive(race[0]!, ...race.slice(1))).toMatchObject({ sent: 0, sent_before: selected });
  });

  it('refuses what it cannot do, naming the place', async () => {
    const cases: [string[], RegExp][] = [
      [['look', 'kafka:dead'], /look: expected list or redrive/],
      [['list', file('none.jsonl')], /none\.jsonl: cannot be read/],
      [['redrive', 'kafka:dead', '--to', 'kafka:dead'], /cannot be sent to the topic that they lie in/],
      [['redrive', 'kafka:dead', '--to', 'kafka:absent', '--group', 'g'], /offset 0, comes from frames.*expected --to/],
      [['list', 'kafka:absent'], /no such topic.*absent/],
    ];
    for (const [args, message] of cases) {
      const { code, stderr } = await runCli(['dead-letter', ...args, ...kafka]);
      expect(code).not.toBe(0);
      expect(stderr).toMatch(message);
    }
  });
});
