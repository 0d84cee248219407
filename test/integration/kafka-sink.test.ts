import { startLocalBroker, type LocalBroker } from '#nae/broker/local-broker.js';
import { decodeAcceptedEvent, type AcceptedEvent, type DeadLetter } from '#nae/event/accepted-event.js';
import { Encoding, HW32_BYTES } from '#nae/event/layout.js';
import { connectAdmin, createKafka } from '#nae/kafka/client.js';
import { FrameProducer } from '#nae/replay/frame-producer.js';
import { ACCEPTED_CONTENT_TYPE, openKafkaSink } from '#nae/sink/kafka-sink.js';
import { silentLogger } from '#nae/telemetry/logger.js';
import type { Admin, Kafka, KafkaMessage } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { randomFrame } from '../fixtures/frames.js';
import { readTopic } from '../fixtures/read-topic.js';

const log = silentLogger();
let broker: LocalBroker;
let kafka: Kafka;
let admin: Admin;

beforeAll(async () => {
  broker = await startLocalBroker({ log });
  kafka = createKafka(broker, log);
  admin = await connectAdmin(kafka, broker);
});

afterAll(async () => {
  await admin.disconnect();
  await broker.stop();
});

function acceptedEvent(orbit: number, crossing: number): AcceptedEvent {
  return {
    run: 7,
    luminositySection: 1,
    orbit,
    bunchCrossing: crossing,
    encoding: Encoding.HW32,
    objects: new Uint8Array(HW32_BYTES).fill(crossing),
    paths: [{ path: 'p', model: 'ae', modelSha256: 'ab', score: 2.5, threshold: 1.25 }],
    position: { source: 'l1.frames', partition: 3, offset: 12n },
    index: 5,
    label: undefined,
  };
}

function deadLetter(bytes: Uint8Array, index?: number): DeadLetter {
  return {
    kind: index === undefined ? 'frame' : 'event',
    reason: index === undefined ? 'not-protobuf' : 'pt-out-of-range',
    detail: 'expected … received …',
    position: { source: 'l1.frames', partition: 2, offset: 9_007_199_254_740_993n },
    index,
    bytes,
  };
}

function headersOf(message: KafkaMessage): Record<string, string> {
  return Object.fromEntries(Object.entries(message.headers ?? {}).map(([name, value]) => [name, String(value)]));
}

describe('kafka sink', () => {
  test('creates its topics and writes accepted events and dead letters as documented', async () => {
    const topics = { topic: 'doc.accepted', deadLetterTopic: 'doc.dead-letter' };
    const sink = await openKafkaSink({ connection: broker, log, ...topics, createWithPartitions: 3 });
    expect(sink.name).toBe('kafka:doc.accepted');
    const events = Array.from({ length: 200 }, (_, index) => acceptedEvent(index >> 3, 1 + index));
    const [raw, single] = [Uint8Array.of(255, 0, 1), randomFrame(4, 1)];
    await sink.write({ accepted: events, deadLetters: [deadLetter(raw), deadLetter(single, 17)] });
    await sink.write({ accepted: [], deadLetters: [] });
    await sink.close();

    const accepted = await readTopic(broker.brokers, 'doc.accepted');
    expect(accepted).toHaveLength(3);
    const decoded = accepted.map((partition) => partition.map(({ value }) => decodeAcceptedEvent(value!)));
    const crossings = decoded.flat().map(({ bunchCrossing }) => bunchCrossing);
    expect(crossings.sort((a, b) => a - b)).toEqual(events.map(({ bunchCrossing }) => bunchCrossing));
    for (const [index, partition] of decoded.entries()) {
      // an orbit is in one partition, in order
      const own = partition.map(({ bunchCrossing }) => bunchCrossing);
      expect(own).toEqual([...own].sort((a, b) => a - b));
      const others = decoded.filter((_, other) => other !== index).flat();
      expect(partition.some(({ orbit }) => others.some((event) => event.orbit === orbit))).toBe(false);
    }
    const one = accepted.flat().find(({ value }) => decodeAcceptedEvent(value!).bunchCrossing === 100)!;
    const { objects, ...rest } = decodeAcceptedEvent(one.value!);
    const { objects: expected, ...expectedRest } = events[99]!;
    expect(rest).toEqual(expectedRest);
    expect(Buffer.from(objects)).toEqual(Buffer.from(expected));
    expect(String(one.key)).toBe('7/12');
    expect(headersOf(one)).toEqual({ 'content-type': ACCEPTED_CONTENT_TYPE });

    const [frame, event] = (await readTopic(broker.brokers, 'doc.dead-letter')).flat();
    const common = { detail: 'expected … received …', source: 'l1.frames', partition: '2', offset: '9007199254740993' };
    expect(headersOf(frame!)).toEqual({ ...common, kind: 'frame', reason: 'not-protobuf' });
    expect(frame!.value).toEqual(Buffer.from(raw));
    expect(headersOf(event!)).toEqual({ ...common, kind: 'event', reason: 'pt-out-of-range', index: '17' });
    expect(event!.value).toEqual(Buffer.from(single));
  });

  test('cuts large deliveries into requests that a broker with usual limits takes', async () => {
    await admin.createTopics({
      topics: [{ topic: 'cut.accepted', configEntries: [{ name: 'max.message.bytes', value: '1048588' }] }],
      waitForLeaders: true,
    });
    const sink = await openKafkaSink({
      connection: broker,
      log,
      topic: 'cut.accepted',
      deadLetterTopic: 'cut.dead-letter',
    });
    const events = Array.from({ length: 20_000 }, (_, index) => acceptedEvent(index, 1 + (index % 3564)));
    await sink.write({ accepted: events, deadLetters: [deadLetter(new Uint8Array(16 * 1024 * 1024))] });
    await sink.close();
    const [written] = await readTopic(broker.brokers, 'cut.accepted');
    expect(written!.map(({ value }) => decodeAcceptedEvent(value!).orbit)).toEqual(events.map(({ orbit }) => orbit));
    const [[letter]] = (await readTopic(broker.brokers, 'cut.dead-letter')) as [[KafkaMessage]];
    expect(letter.value).toHaveLength(16 * 1024 * 1024);
  });

  test('names the dead letter that the broker does not take', async () => {
    await admin.createTopics({
      topics: [{ topic: 'small.dead-letter', configEntries: [{ name: 'max.message.bytes', value: '10000' }] }],
      waitForLeaders: true,
    });
    const sink = await openKafkaSink({
      connection: broker,
      log,
      topic: 'small.accepted',
      deadLetterTopic: 'small.dead-letter',
    });
    const write = sink.write({ accepted: [acceptedEvent(1, 1)], deadLetters: [deadLetter(new Uint8Array(20_000))] });
    await expect(write).rejects.toMatchObject({
      code: 'SINK_FAILED',
      retryable: false,
      message: expect.stringMatching(
        /too large for one of small\.accepted, .*small\.dead-letter, 20\d\d\d bytes: the dead letter \(not-protobuf\) of l1\.frames, partition 2, offset 9007199254740993/,
      ) as string,
    });
    await sink.close();
  });

  test('refuses topics that are missing where none may be created, and brokers that cannot be reached', async () => {
    const options = { log, topic: 'absent', deadLetterTopic: 'absent.dead-letter', createWithPartitions: 0 };
    await expect(openKafkaSink({ ...options, connection: broker })).rejects.toMatchObject({
      code: 'BROKER_FAILED',
      message: 'no such topic, or none that this user may see: absent, absent.dead-letter (and none may be created)',
    });
    await expect(openKafkaSink({ ...options, connection: { brokers: ['127.0.0.1:1'] } })).rejects.toMatchObject({
      code: 'BROKER_FAILED',
      message: expect.stringContaining('127.0.0.1:1') as string,
    });
  });
});

describe('frame producer', () => {
  test('keeps the order of each orbit and fills all partitions', async () => {
    const producer = await FrameProducer.open({
      connection: broker,
      topic: 'replayed',
      log,
      createWithPartitions: 4,
      maxPartitionBytes: 20_000,
    });
    const sent = new Map<number, Buffer[]>();
    for (let orbit = 0; orbit < 100; orbit++) {
      for (let part = 0; part < 4; part++) {
        const bytes = randomFrame(orbit, 64);
        sent.set(orbit, [...(sent.get(orbit) ?? []), Buffer.from(bytes)]);
        await producer.send({ run: 3, orbit, bytes });
      }
    }
    await producer.flush();
    await producer.close();
    const partitions = await readTopic(broker.brokers, 'replayed');
    expect(partitions.map((messages) => messages.length > 0)).toEqual([true, true, true, true]);
    const received = new Map<number, Buffer[]>();
    for (const message of partitions.flat()) {
      const orbit = Number(String(message.key).replace('3/', ''));
      received.set(orbit, [...(received.get(orbit) ?? []), message.value!]);
    }
    for (const [orbit, frames] of sent) expect(received.get(orbit)!.map(String)).toEqual(frames.map(String));
  });

  test('a frame that the topic does not take fails the next send and the flush', async () => {
    await admin.createTopics({
      topics: [{ topic: 'tight', configEntries: [{ name: 'max.message.bytes', value: '1000' }] }],
      waitForLeaders: true,
    });
    const producer = await FrameProducer.open({ connection: broker, topic: 'tight', log });
    void producer.send({ run: 1, orbit: 1, bytes: randomFrame(1, 100) });
    await expect(producer.flush()).rejects.toMatchObject({
      code: 'SINK_FAILED',
      message: expect.stringContaining('topic tight') as string,
    });
    await expect(producer.send({ run: 1, orbit: 2, bytes: randomFrame(2, 1) }) ?? producer.flush()).rejects.toThrow();
    await producer.close();
  });
});
