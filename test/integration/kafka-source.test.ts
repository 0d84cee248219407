import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import { startLocalBroker, type LocalBroker } from '#nae/broker/local-broker.js';
import { connectAdmin, createKafka } from '#nae/kafka/client.js';
import { FrameProducer } from '#nae/replay/frame-producer.js';
import { KafkaSource, type KafkaSourceOptions } from '#nae/source/kafka-source.js';
import type { Intake, SourceRecord } from '#nae/source/source.js';
import { Happenings } from '#nae/telemetry/happenings.js';
import { silentLogger } from '#nae/telemetry/logger.js';
import { Metrics } from '#nae/telemetry/metrics.js';
import { Partitioners, type Admin, type Kafka, type Producer } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { randomFrame } from '../fixtures/frames.js';

const log = silentLogger();
let broker: LocalBroker;
let kafka: Kafka;
let admin: Admin;
let producer: Producer;

beforeAll(async () => {
  broker = await startLocalBroker({ log, properties: { 'group.min.session.timeout.ms': '1000' } });
  kafka = createKafka(broker, log);
  admin = await connectAdmin(kafka, broker);
  producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
});

afterAll(async () => {
  await producer.disconnect();
  await admin.disconnect();
  await broker.stop();
});

/** Takes everything; finishes what it is told to. */
class Collector implements Intake {
  readonly records: SourceRecord[] = [];
  idles = 0;
  /** Set to make the stream full after this many records, until `release` is called. */
  fullAfter = Infinity;
  release: () => void = () => undefined;
  fail: (error: Error) => void = () => undefined;

  offer(record: SourceRecord): Promise<void> | undefined {
    this.records.push(record);
    if (this.records.length < this.fullAfter) return undefined;
    return new Promise((resolve, reject) => {
      this.release = () => {
        this.fullAfter = Infinity;
        resolve();
      };
      this.fail = reject;
    });
  }

  idle(): void {
    this.idles++;
  }

  get positions(): string[] {
    return this.records.map(({ position }) => `${position.partition}/${position.offset}`);
  }
}

function source(topic: string, options: Partial<KafkaSourceOptions> = {}): { source: KafkaSource; metrics: Metrics } {
  const metrics = new Metrics();
  const happenings = new Happenings(log, metrics);
  return {
    source: new KafkaSource({ connection: broker, topic, groupId: `${topic}-group`, happenings, ...options }),
    metrics,
  };
}

async function topicWith(topic: string, partitions: number, frames: number, events = 1): Promise<void> {
  await admin.createTopics({ topics: [{ topic, numPartitions: partitions }], waitForLeaders: true });
  const frameProducer = await FrameProducer.open({ connection: broker, topic, log });
  for (let orbit = 0; orbit < frames; orbit++) {
    await frameProducer.send({ run: 1, orbit, bytes: randomFrame(orbit, events) });
  }
  await frameProducer.flush();
  await frameProducer.close();
}

async function allPositions(topic: string): Promise<string[]> {
  const bounds = await admin.fetchTopicOffsets(topic);
  return bounds.flatMap(({ partition, low, high }) =>
    Array.from({ length: Number(high) - Number(low) }, (_, index) => `${partition}/${Number(low) + index}`),
  );
}

async function committed(topic: string, groupId = `${topic}-group`): Promise<Record<number, number>> {
  const offsets = await admin.fetchOffsets({ groupId, topics: [topic] });
  return Object.fromEntries(offsets[0]!.partitions.map(({ partition, offset }) => [partition, Number(offset)]));
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await delay(20);
}

const never = new AbortController().signal;

describe('reading to the end', () => {
  test('every frame once, in order within its partition, then commits everything', async () => {
    await topicWith('read-all', 4, 500);
    const { source: reader, metrics } = source('read-all', { stopAtEnd: true });
    const intake = new Collector();
    await reader.run(intake, never);
    expect([...intake.positions].sort()).toEqual((await allPositions('read-all')).sort());
    for (const partition of [0, 1, 2, 3]) {
      const offsets = intake.records.filter((r) => r.position.partition === partition).map((r) => r.position.offset);
      expect(offsets).toEqual(offsets.map((_, index) => BigInt(index)));
      expect(offsets.length).toBeGreaterThan(0);
    }
    expect(intake.records[0]!.position.source).toBe('read-all');
    expect(intake.idles).toBeGreaterThan(0);
    for (const record of intake.records) reader.finished(record);
    await reader.close();
    const ends = await admin.fetchTopicOffsets('read-all');
    expect(await committed('read-all')).toEqual(Object.fromEntries(ends.map((e) => [e.partition, Number(e.high)])));
    const lag = await metrics.consumerLag.get();
    expect(lag.values.map(({ value }) => value)).toEqual([0, 0, 0, 0]);

    // and has nothing left to read
    const again = source('read-all', { stopAtEnd: true });
    const nothing = new Collector();
    await again.source.run(nothing, never);
    await again.source.close();
    expect(nothing.records).toHaveLength(0);
  });

  test('ends at once where a topic is empty', async () => {
    await admin.createTopics({ topics: [{ topic: 'empty', numPartitions: 3 }], waitForLeaders: true });
    const { source: reader } = source('empty', { stopAtEnd: true });
    const intake = new Collector();
    await reader.run(intake, never);
    await reader.close();
    expect(intake.records).toHaveLength(0);
  });

  test('passes transaction markers, aborted and deleted records at the end of a partition', async () => {
    const topic = 'gaps';
    await admin.createTopics({ topics: [{ topic, numPartitions: 4 }], waitForLeaders: true });
    const transactional = kafka.producer({
      transactionalId: 'gaps',
      maxInFlightRequests: 1,
      idempotent: true,
      createPartitioner: Partitioners.DefaultPartitioner,
    });
    await transactional.connect();
    const send = async (partition: number, commit: boolean): Promise<void> => {
      const transaction = await transactional.transaction();
      await transaction.send({ topic, messages: [{ partition, value: Buffer.from(randomFrame(1, 1)) }] });
      await (commit ? transaction.commit() : transaction.abort());
    };
    await send(0, true); // frame, marker
    await send(1, false); // aborted frame, marker
    await send(2, true);
    await send(2, false); // frame, marker, aborted frame, marker
    await transactional.disconnect();
    await producer.send({ topic, messages: [{ partition: 3, value: null }] });
    await producer.send({ topic, messages: [{ partition: 3, value: 'x' }] });
    // loads the metadata, without which kafkajs finds no leader to delete at
    await admin.fetchTopicOffsets(topic);
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 3, offset: '2' }] });

    const { source: reader } = source(topic, { stopAtEnd: true });
    const intake = new Collector();
    await reader.run(intake, never);
    expect([...intake.positions].sort()).toEqual(['0/0', '2/0']);
    for (const record of intake.records) reader.finished(record);
    await reader.close();
    expect(await committed(topic)).toEqual({ 0: 2, 1: 2, 2: 4, 3: 2 });
  });

  test('leaves what arrives after its start to the next run; a message without value has no bytes', async () => {
    const topic = 'growing';
    await admin.createTopics({ topics: [{ topic, numPartitions: 1 }], waitForLeaders: true });
    await producer.send({ topic, messages: [{ value: null }, { value: 'b' }] });
    const { source: reader } = source(topic, { stopAtEnd: true });
    const intake = new Collector();
    intake.fullAfter = 1;
    const run = reader.run(intake, never);
    await until(() => intake.records.length === 1);
    await producer.send({ topic, messages: [{ value: 'c' }] });
    intake.release();
    await run;
    expect(intake.positions).toEqual(['0/0', '0/1']);
    expect(intake.records[0]!.bytes).toBeNull();
    for (const record of intake.records) reader.finished(record);
    await reader.close();
    expect(await committed(topic)).toEqual({ 0: 2 });
  });

  test('begins at the end where asked to', async () => {
    await topicWith('from-end', 2, 10);
    const { source: reader } = source('from-end', { stopAtEnd: true, fromBeginning: false });
    const intake = new Collector();
    await reader.run(intake, never);
    await reader.close();
    expect(intake.records).toHaveLength(0);
  });
});

describe('ownership and backpressure', () => {
  test('bytes stay as they came while later fetches arrive', async () => {
    await topicWith('bytes', 3, 300, 512);
    const { source: reader } = source('bytes', { stopAtEnd: true, maxFetchBytes: 256 * 1024 });
    const digest = (bytes: Uint8Array | null): string => createHash('sha256').update(bytes!).digest('hex');
    const digests: string[] = [];
    const intake = new Collector();
    const offer = intake.offer.bind(intake);
    intake.offer = (record) => {
      digests.push(digest(record.bytes));
      return offer(record);
    };
    await reader.run(intake, never);
    expect(intake.records).toHaveLength(300);
    expect(intake.records.map(({ bytes }) => digest(bytes))).toEqual(digests);
    expect(new Set(digests).size).toBe(300);
    await reader.close();
  });

  test('a full stream is offered nothing, keeps its membership and can be stopped at once', async () => {
    await topicWith('full', 2, 50);
    const { source: reader, metrics } = source('full', { sessionTimeoutMs: 1_500 });
    const intake = new Collector();
    intake.fullAfter = 10;
    const stop = new AbortController();
    const run = reader.run(intake, stop.signal);
    await until(() => intake.records.length === 10);
    await delay(5_000);
    expect(intake.records).toHaveLength(10);
    const { groups } = await admin.describeGroups(['full-group']);
    expect(groups[0]).toMatchObject({ state: 'Stable', members: [expect.anything()] });
    expect((await metrics.rebalances.get()).values[0]!.value).toBe(1);
    const before = performance.now();
    stop.abort();
    await run;
    expect(performance.now() - before).toBeLessThan(500);
    for (const record of intake.records) reader.finished(record);
    await reader.close();
    const offsets = Object.values(await committed('full')).filter((offset) => offset > 0);
    expect(offsets.reduce((sum, offset) => sum + offset, 0)).toBe(10);
  });

  test('returns when the stream fails', async () => {
    await topicWith('failing', 1, 20);
    const { source: reader } = source('failing');
    const intake = new Collector();
    intake.fullAfter = 5;
    const run = reader.run(intake, never);
    await until(() => intake.records.length === 5);
    intake.fail(new Error('scoring failed'));
    await run;
    await reader.close();
    expect(intake.records).toHaveLength(5);
  });
});

describe('acknowledgement', () => {
  test('stopped in the middle and started again: nothing is missing, the finished prefix is not read again', async () => {
    await topicWith('resume', 2, 200);
    const first = source('resume');
    const intake = new Collector();
    intake.fullAfter = 120;
    const stop = new AbortController();
    const run = first.source.run(intake, stop.signal);
    await until(() => intake.records.length === 120);
    for (const record of intake.records.slice(0, 70)) first.source.finished(record);
    stop.abort();
    await run;
    for (const record of intake.records.slice(70, 75)) first.source.finished(record);
    await first.source.close();

    const second = source('resume', { stopAtEnd: true });
    const rest = new Collector();
    await second.source.run(rest, never);
    await second.source.close();
    const finished = intake.positions.slice(0, 75);
    expect([...finished, ...rest.positions].sort()).toEqual((await allPositions('resume')).sort());
  });

  test('commits at its interval while it runs', async () => {
    await topicWith('periodic', 1, 30);
    const { source: reader } = source('periodic', { commitIntervalMs: 100 });
    const intake = new Collector();
    const stop = new AbortController();
    const run = reader.run(intake, stop.signal);
    await until(() => intake.records.length === 30);
    for (const record of intake.records.slice(0, 12)) reader.finished(record);
    await until(async () => (await committed('periodic'))[0] === 12);
    stop.abort();
    await run;
    await reader.close();
    expect(await committed('periodic')).toEqual({ 0: 12 });
  });

  test('a second member takes over: late completions of revoked partitions are not committed, nothing is missing', async () => {
    const topic = 'rebalance';
    await topicWith(topic, 4, 400);
    const everything = await allPositions(topic);
    const one = source(topic, { commitIntervalMs: 100, sessionTimeoutMs: 3_000 });
    const two = source(topic, { commitIntervalMs: 100, sessionTimeoutMs: 3_000 });
    const [first, second] = [new Collector(), new Collector()];
    const stop = new AbortController();
    const runs = [one.source.run(first, stop.signal)];
    await until(() => first.records.length === 400);
    runs.push(two.source.run(second, stop.signal));
    await until(() => second.records.length > 0);
    const taken = [...new Set(second.records.map(({ position }) => position.partition))];
    await delay(1_000);
    expect((await one.metrics.consumerLag.get()).values).toHaveLength(2);

    // what the first member had in flight when it lost the partitions is finished only now
    for (const record of first.records) one.source.finished(record);
    await until(async () => Object.values(await committed(topic)).filter((offset) => offset > 0).length === 2);
    await delay(500);
    const afterLate = await committed(topic);
    for (const partition of taken) expect(afterLate[partition]).toBe(-1);

    // kept partitions were not read twice by the first member, revoked ones are all with the second
    expect(new Set(first.positions).size).toBe(400);
    const isTaken = (position: string): boolean => taken.includes(Number(position.split('/')[0]));
    expect([...second.positions].sort()).toEqual(everything.filter(isTaken).sort());
    for (const record of second.records) two.source.finished(record);
    stop.abort();
    await Promise.all(runs);
    await one.source.close();
    await two.source.close();
    const ends = await admin.fetchTopicOffsets(topic);
    expect(await committed(topic)).toEqual(Object.fromEntries(ends.map((e) => [e.partition, Number(e.high)])));
  });

  test('a member that leaves in the middle hands over without loss', async () => {
    const topic = 'handover';
    await topicWith(topic, 4, 400);
    const one = source(topic, { commitIntervalMs: 50 });
    const two = source(topic, { commitIntervalMs: 50 });
    const [first, second] = [new Collector(), new Collector()];
    first.fullAfter = 150;
    const [stopOne, stopTwo] = [new AbortController(), new AbortController()];
    const runOne = one.source.run(first, stopOne.signal);
    const runTwo = two.source.run(second, stopTwo.signal);
    await until(() => first.records.length >= 150 || second.records.length >= 150);
    stopOne.abort();
    await runOne;
    const finished = first.records.slice(0, 60);
    for (const record of finished) one.source.finished(record);
    await one.source.close();
    const everything = await allPositions(topic);
    const seen = (): Set<string> =>
      new Set([...finished.map(({ position }) => `${position.partition}/${position.offset}`), ...second.positions]);
    await until(() => seen().size === everything.length);
    stopTwo.abort();
    await runTwo;
    await two.source.close();
    expect([...seen()].sort()).toEqual(everything.sort());
  });
});

describe('failures', () => {
  test('a missing topic is refused by name and not created', async () => {
    const { source: reader } = source('no-such-topic');
    await expect(reader.run(new Collector(), never)).rejects.toMatchObject({
      code: 'BROKER_FAILED',
      message: expect.stringMatching(/no such topic.*: no-such-topic/) as string,
    });
    await reader.close();
    expect(await admin.listTopics()).not.toContain('no-such-topic');
  });

  test('unreachable brokers are named within about ten seconds', async () => {
    const connection = { brokers: ['127.0.0.1:1', '127.0.0.1:2'] };
    const { source: reader } = source('any', { connection });
    const before = performance.now();
    await expect(reader.run(new Collector(), never)).rejects.toMatchObject({
      code: 'BROKER_FAILED',
      retryable: true,
      message: expect.stringContaining('127.0.0.1:1, 127.0.0.1:2') as string,
    });
    expect(performance.now() - before).toBeLessThan(12_000);
    await reader.close();
  });

  test('a cluster that goes away for good ends the run with an error', async () => {
    await topicWith('outage', 1, 10);
    const doomed = await startLocalBroker({ log, topics: [{ name: 'outage', partitions: 1 }] });
    const { source: reader } = source('outage', { connection: doomed, outageLimitMs: 1_000 });
    const run = reader.run(new Collector(), never);
    const failed = expect(run).rejects.toMatchObject({ code: 'BROKER_FAILED', retryable: true });
    await delay(3_000);
    await doomed.stop();
    await failed;
    await reader.close();
  });
});

describe('stopping while it starts', () => {
  test.each([0, 30, 100, 200, 400, 800])('after %i ms: ends without an error, and commits nothing', async (after) => {
    const topic = `stop-early-${after}`;
    await topicWith(topic, 2, 4);
    const { source: reader } = source(topic);
    const stop = new AbortController();
    const ended = reader.run(new Collector(), stop.signal);
    setTimeout(() => {
      stop.abort();
    }, after);
    await ended;
    await reader.close();
    expect(Object.values(await committed(topic)).every((offset) => offset <= 0)).toBe(true);
  });
});
