/** Accepted events as any consumer finds them: plain kafkajs, read_committed, and the published .proto by reflection. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';

import { Kafka, logLevel } from 'kafkajs';
import protobuf from 'protobufjs';

import { ROOT } from '../fixtures/cli.js';

interface Accepted {
  run: number;
  orbit: number;
  bunchCrossing: number;
  paths: { score: number }[];
}

/** Silence after the last message for which the end is believed [ms]; aborted and marker offsets are no messages. */
const SILENCE_MS = 5000;

export class AcceptedCollector {
  readonly #kafka: Kafka;
  readonly #topic: string;

  constructor(brokers: readonly string[], topic: string) {
    this.#kafka = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING });
    this.#topic = topic;
  }

  /** Records and markers in the topic by now, whatever their transactions came to; 0 while it is not there. */
  async count(): Promise<number> {
    const admin = this.#kafka.admin({ retry: { retries: 2 } });
    try {
      await admin.connect();
      const offsets = await admin.fetchTopicOffsets(this.#topic);
      return offsets.reduce((sum, { high }) => sum + Number(high), 0);
    } catch {
      return 0;
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
  }

  /** `run/orbit/crossing/score` of every committed event. */
  async read(): Promise<string[]> {
    const root = await protobuf.load(join(ROOT, 'proto', 'l1_event.proto'));
    const type = root.lookupType('l1trigger.v1.AcceptedEvent');
    // readUncommitted is false by default; said here because it is the point.
    const consumer = this.#kafka.consumer({ groupId: randomUUID(), readUncommitted: false, maxWaitTimeInMs: 200 });
    const events: string[] = [];
    let last = performance.now();
    await consumer.connect();
    try {
      await consumer.subscribe({ topic: this.#topic, fromBeginning: true });
      await consumer.run({
        autoCommit: false,
        eachMessage: ({ message }) => {
          const event = type.decode(message.value!) as unknown as Accepted;
          events.push(`${event.run}/${event.orbit}/${event.bunchCrossing}/${event.paths[0]!.score}`);
          last = performance.now();
          return Promise.resolve();
        },
      });
      while (performance.now() - last < SILENCE_MS) await new Promise((resolve) => setTimeout(resolve, 200));
    } finally {
      await consumer.disconnect();
    }
    return events;
  }
}
