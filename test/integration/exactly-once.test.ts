/**
 * Transactions from Kafka to Kafka, observed by a read_committed consumer that knows nothing of the product. The
 * stream is real but for the scoring: which frames are accepted is known beforehand.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';

import { startLocalBroker, type LocalBroker } from '#nae/broker/local-broker.js';
import { decodeAcceptedEvent, type AcceptedEvent, type DeadLetter } from '#nae/event/accepted-event.js';
import { Encoding, HW32_BYTES } from '#nae/event/layout.js';
import { connectAdmin, createKafka } from '#nae/kafka/client.js';
import { PartitionClaims, transactionalId } from '#nae/kafka/partition-claims.js';
import { FrameProducer } from '#nae/replay/frame-producer.js';
import { openKafkaSink } from '#nae/sink/kafka-sink.js';
import type { Sink } from '#nae/sink/sink.js';
import { KafkaSource } from '#nae/source/kafka-source.js';
import type { Intake, SourceRecord } from '#nae/source/source.js';
import { Happenings } from '#nae/telemetry/happenings.js';
import { silentLogger } from '#nae/telemetry/logger.js';
import { Metrics } from '#nae/telemetry/metrics.js';
import type { Admin, Kafka } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { runCli, startCli } from '../fixtures/cli.js';
import { randomFrame } from '../fixtures/frames.js';
import { readTopic } from '../fixtures/read-topic.js';

const log = silentLogger();
let broker: LocalBroker;
let kafka: Kafka;
let admin: Admin;

beforeAll(async () => {
  broker = await startLocalBroker({ log, properties: { 'group.min.session.timeout.ms': '1000' } });
  kafka = createKafka(broker, log);
  admin = await connectAdmin(kafka, broker);
});

afterAll(async () => {
  await admin.disconnect();
  await broker.stop();
});

/** One in three frames is accepted, one in eleven is a dead letter. */
const isAccepted = ({ offset }: SourceRecord['position']): boolean => offset % 3n === 0n;
const isDeadLetter = ({ offset }: SourceRecord['position']): boolean => offset % 11n === 0n;

/** A member that decides every frame by its offset, in transactions of a few frames. */
class Member implements Intake {
  readonly metrics = new Metrics();
  readonly claims: PartitionClaims;
  readonly source: KafkaSource;
  readonly stop = new AbortController();
  readonly seen: SourceRecord[] = [];
  relinquished = 0;
  /** Awaited before every transaction. */
  gate: Promise<unknown> = Promise.resolve();
  run: Promise<void> = Promise.resolve();
  #sink!: Sink;
  readonly #waiting = new Map<object, SourceRecord[]>();
  #writes = new Set<Promise<void>>();

  readonly topic: string;

  constructor(topic: string, stopAtEnd = false) {
    this.topic = topic;
    const happenings = new Happenings(log, this.metrics);
    const groupId = `${topic}-group`;
    this.claims = new PartitionClaims({ connection: broker, groupId, topic, log });
    this.source = new KafkaSource({
      connection: broker,
      topic,
      groupId,
      happenings,
      claims: this.claims,
      stopAtEnd,
      sessionTimeoutMs: 3_000,
      commitIntervalMs: 100,
    });
  }

  async start(): Promise<this> {
    const topics = { topic: `${this.topic}.out`, deadLetterTopic: `${this.topic}.dead` };
    this.#sink = await openKafkaSink({ connection: broker, log, ...topics });
    this.run = this.source.run(this, this.stop.signal);
    return this;
  }

  offer(record: SourceRecord): undefined {
    this.seen.push(record);
    const claim = record.claim!;
    const waiting = this.#waiting.get(claim);
    if (waiting !== undefined) {
      waiting.push(record);
      return;
    }
    this.#waiting.set(claim, [record]);
    const writes = this.#write(claim);
    this.#writes.add(writes);
  }

  idle(): void {
    // nothing waits for more
  }

  async #write(claim: object): Promise<void> {
    const waiting = this.#waiting.get(claim)!;
    await delay(20);
    while (waiting.length > 0) {
      await this.gate;
      const records = waiting.splice(0, 40);
      const accepted = records.filter(({ position }) => isAccepted(position)).map(acceptedOf);
      const deadLetters = records.filter(({ position }) => isDeadLetter(position)).map(deadLetterOf);
      try {
        await this.#sink.write({ accepted, deadLetters, claim, last: records.at(-1)!.position });
        for (const record of records) this.source.finished(record);
      } catch (error) {
        if ((error as Error).name !== 'ClaimEnded') throw error;
        this.relinquished += records.length + waiting.length;
        waiting.length = 0;
      }
    }
    this.#waiting.delete(claim);
  }

  async end(): Promise<void> {
    this.stop.abort();
    await this.run;
    await Promise.all(this.#writes);
    await this.close();
  }

  async close(): Promise<void> {
    await this.source.close();
    await this.claims.close();
    await this.#sink.close();
  }
}

function acceptedOf({ position }: SourceRecord): AcceptedEvent {
  return {
    run: 1,
    luminositySection: 0,
    orbit: Number(position.offset),
    bunchCrossing: 1,
    encoding: Encoding.HW32,
    objects: new Uint8Array(HW32_BYTES),
    paths: [],
    position,
    index: 0,
    label: undefined,
  };
}

function deadLetterOf({ position }: SourceRecord): DeadLetter {
  return { kind: 'frame', reason: 'not-protobuf', detail: '', position, index: undefined, bytes: Uint8Array.of(1) };
}

async function fill(topic: string, partitions: number, frames: number): Promise<void> {
  await admin.createTopics({ topics: [{ topic, numPartitions: partitions }], waitForLeaders: true });
  const producer = await FrameProducer.open({ connection: broker, topic, log });
  for (let orbit = 0; orbit < frames; orbit++) await producer.send({ run: 1, orbit, bytes: randomFrame(orbit, 1) });
  await producer.flush();
  await producer.close();
}

/** Every accepted event and dead letter that the topic's frames must give, and what a reader of committed data finds. */
async function expectExactlyOnce(topic: string): Promise<void> {
  const bounds = await admin.fetchTopicOffsets(topic);
  const positions = bounds.flatMap(({ partition, high }) =>
    Array.from({ length: Number(high) }, (_, offset) => ({ source: topic, partition, offset: BigInt(offset) })),
  );
  const named = ({ partition, offset }: { partition: number; offset: bigint }): string => `${partition}/${offset}`;
  const found = (await readTopic(broker.brokers, `${topic}.out`)).flat();
  const accepted = found.map(({ value }) => named(decodeAcceptedEvent(value!).position));
  expect(accepted.sort()).toEqual(positions.filter(isAccepted).map(named).sort());
  const letters = (await readTopic(broker.brokers, `${topic}.dead`)).flat();
  const dead = letters.map(({ headers }) => `${String(headers!.partition)}/${String(headers!.offset)}`);
  expect(dead.sort()).toEqual(positions.filter(isDeadLetter).map(named).sort());
  expect(await committed(topic)).toEqual(Object.fromEntries(bounds.map((b) => [b.partition, Number(b.high)])));
}

async function committed(topic: string): Promise<Record<number, number>> {
  const offsets = await admin.fetchOffsets({ groupId: `${topic}-group`, topics: [topic] });
  return Object.fromEntries(offsets[0]!.partitions.map(({ partition, offset }) => [partition, Number(offset)]));
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 120_000;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not so after 120 s: ${condition.toString()}`);
    await delay(20);
  }
}

describe('transactions', () => {
  test('accepted events, dead letters and offsets are all there once; a restart has nothing left to do', async () => {
    await fill('plain', 3, 500);
    const member = await new Member('plain', true).start();
    await member.run;
    await member.close();
    await expectExactlyOnce('plain');
    const again = await new Member('plain', true).start();
    await again.run;
    await again.close();
    expect(again.seen).toHaveLength(0);
  });

  test('a transaction without records commits the position, also right after another', async () => {
    await fill('empty', 1, 4);
    const claims = new PartitionClaims({ connection: broker, groupId: 'empty-group', topic: 'empty', log });
    const claim = await claims.claim(0);
    for (const offset of [1n, 2n, 3n, 4n]) await claim.commit([], offset);
    expect(await committed('empty')).toEqual({ 0: 4 });
    await claims.close();
  });

  test('what a process sent and did not commit before it died is invisible, and sent again', async () => {
    await fill('crash', 1, 100);
    await admin.createTopics({ topics: [{ topic: 'crash.out' }, { topic: 'crash.dead' }], waitForLeaders: true });
    // dead to the world between sending and committing: no abort, no end
    const dead = kafka.producer({
      transactionalId: transactionalId('crash-group', 'crash', 0),
      maxInFlightRequests: 1,
      idempotent: true,
      transactionTimeout: 600_000,
    });
    await dead.connect();
    const transaction = await dead.transaction();
    await transaction.send({ topic: 'crash.out', messages: [{ value: Buffer.from('never to be seen') }] });
    await transaction.sendOffsets({
      consumerGroupId: 'crash-group',
      topics: [{ topic: 'crash', partitions: [{ partition: 0, offset: '50' }] }],
    });
    const member = await new Member('crash', true).start();
    await member.run;
    await member.close();
    expect(member.seen[0]!.position.offset).toBe(0n);
    await expectExactlyOnce('crash');
    await expect(transaction.commit()).rejects.toThrow();
    await dead.disconnect();
    await expectExactlyOnce('crash');
  });

  test('a zombie is fenced: nothing of it gets through, it drops the partition and takes it up again if it is its own', async () => {
    await fill('zombie', 1, 300);
    const member = new Member('zombie');
    let open: () => void = () => undefined;
    member.gate = new Promise<void>((resolve) => (open = resolve));
    await member.start();
    await until(() => member.seen.length === 300);
    // another process claims the partition meanwhile, and commits its first frames
    const claims = new PartitionClaims({ connection: broker, groupId: 'zombie-group', topic: 'zombie', log });
    const usurper = await claims.claim(0);
    const sink = await openKafkaSink({
      connection: broker,
      log,
      topic: 'zombie.out',
      deadLetterTopic: 'zombie.dead',
    });
    const first = member.seen.slice(0, 120);
    await sink.write({
      accepted: first.filter(({ position }) => isAccepted(position)).map(acceptedOf),
      deadLetters: first.filter(({ position }) => isDeadLetter(position)).map(deadLetterOf),
      claim: usurper,
      last: first.at(-1)!.position,
    });
    open();
    await until(async () => (await committed('zombie'))[0] === 300);
    expect(member.relinquished).toBe(300);
    expect(member.seen[300]!.position.offset).toBe(120n);
    expect((await member.metrics.claimsLost.get()).values).toMatchObject([{ labels: { cause: 'fenced' }, value: 1 }]);
    await expect(usurper.commit([], 7n)).rejects.toThrow('not committed');
    await member.end();
    await claims.close();
    await sink.close();
    await expectExactlyOnce('zombie');
  });

  test('members that join and leave while transactions are under way', async () => {
    await fill('churn', 4, 2_000);
    // Frames go on coming until the last has joined: else a fast member leaves nothing to the others.
    const allJoined = new AbortController();
    const producer = await FrameProducer.open({ connection: broker, topic: 'churn', log });
    const arrivals = (async () => {
      for (let orbit = 2_000; !allJoined.signal.aborted; orbit++) {
        await producer.send({ run: 1, orbit, bytes: randomFrame(orbit, 1) });
        if (orbit % 50 > 0) continue;
        await producer.flush();
        await delay(50);
      }
      await producer.flush();
      await producer.close();
    })();
    const first = await new Member('churn').start();
    await until(() => first.seen.length > 200);
    const second = await new Member('churn').start();
    await until(() => second.seen.length > 200);
    const third = await new Member('churn').start();
    await delay(300);
    await first.end();
    await until(() => third.seen.length > 200);
    await second.end();
    allJoined.abort();
    await arrivals;
    const bounds = await admin.fetchTopicOffsets('churn');
    const all = Object.fromEntries(bounds.map(({ partition, high }) => [partition, Number(high)]));
    await until(async () => isDeepStrictEqual(await committed('churn'), all));
    await third.end();
    await expectExactlyOnce('churn');
  });

  test('a dead letter that the topic does not take ends the stream with its name, and commits nothing', async () => {
    await fill('refused', 1, 3);
    await admin.createTopics({
      topics: [
        { topic: 'refused.out', configEntries: [{ name: 'max.message.bytes', value: '1000' }] },
        { topic: 'refused.dead' },
      ],
      waitForLeaders: true,
    });
    const claims = new PartitionClaims({ connection: broker, groupId: 'refused-group', topic: 'refused', log });
    const sink = await openKafkaSink({
      connection: broker,
      log,
      topic: 'refused.out',
      deadLetterTopic: 'refused.dead',
    });
    const position = { source: 'refused', partition: 0, offset: 0n };
    const event = { ...acceptedOf({ position } as SourceRecord), objects: new Uint8Array(5_000) };
    const claim = await claims.claim(0);
    const write = sink.write({ accepted: [event], deadLetters: [], claim, last: position });
    await expect(write).rejects.toMatchObject({
      code: 'SINK_FAILED',
      message: expect.stringContaining('too large for refused.out, ') as string,
    });
    expect(await committed('refused')).toEqual({ 0: -1 });
    await claims.close();
    await sink.close();
  });
});

describe('as a process', () => {
  const common = ['--model', 'ae-events-s', '--threshold', '0', '--workers', '1', '--log-level', 'info'];

  test('killed in the middle, then run to the end: every event once', async () => {
    const topic = 'process';
    await fill(topic, 2, 2_000);
    const args = (...more: string[]): string[] => [
      ...['run', '--source', `kafka:${topic}`, '--sink', `kafka:${topic}.out`, '--brokers', broker.brokers.join(',')],
      ...['--dead-letter', `${topic}.dead`, '--group', `${topic}-group`, '--transaction-interval-ms', '20'],
      ...['--transaction-max-frames', '100', ...common, ...more],
    ];
    const doomed = startCli(args());
    const total = async (): Promise<number> =>
      Object.values(await committed(topic)).reduce((sum, offset) => sum + Math.max(0, offset), 0);
    await until(async () => (await total()) > 0 || doomed.process.exitCode !== null);
    doomed.process.kill('SIGKILL');
    await doomed.finished;
    const { code, stderr } = await runCli(args('--stop-at-end'));
    expect(stderr).not.toContain('stack');
    expect(code).toBe(0);
    const events = (await readTopic(broker.brokers, `${topic}.out`)).flat();
    const letters = (await readTopic(broker.brokers, `${topic}.dead`)).flat();
    const positions = [
      ...events
        .map(({ value }) => decodeAcceptedEvent(value!))
        .map((e) => `${e.position.partition}/${e.position.offset}`),
      ...letters.map(({ headers }) => `${String(headers!.partition)}/${String(headers!.offset)}`),
    ];
    const bounds = await admin.fetchTopicOffsets(topic);
    const everything = bounds.flatMap(({ partition, high }) =>
      Array.from({ length: Number(high) }, (_, offset) => `${partition}/${offset}`),
    );
    expect(positions.sort()).toEqual(everything.sort());
  });
});
