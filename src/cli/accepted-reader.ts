/**
 * Reads accepted events back from their topic, with a consumer that shares nothing with the pipeline.
 */
import { randomUUID } from 'node:crypto';

import type { Admin, Kafka } from 'kafkajs';

import { decodeAcceptedEvent, type AcceptedEvent } from '../event/accepted-event.js';
import { connectAdmin, createKafka, type KafkaConnection } from '../kafka/client.js';
import { missingTopics } from '../kafka/topics.js';
import type { Logger } from '../telemetry/logger.js';

type Offsets = ReadonlyMap<number, bigint>;

export class AcceptedReader {
  readonly #kafka: Kafka;
  readonly #connection: KafkaConnection;
  readonly #topic: string;
  /** Where each partition ended when the reader was opened. */
  readonly #from: Offsets;

  private constructor(kafka: Kafka, connection: KafkaConnection, topic: string, from: Offsets) {
    this.#kafka = kafka;
    this.#connection = connection;
    this.#topic = topic;
    this.#from = from;
  }

  /** Remember where the topic ends now; it need not exist yet. Throws BROKER_FAILED. */
  static async open(connection: KafkaConnection, topic: string, log: Logger): Promise<AcceptedReader> {
    const kafka = createKafka({ ...connection, clientId: 'nae-trigger-read-back' }, log);
    const from = await withAdmin(kafka, connection, async (admin) =>
      (await missingTopics(admin, [topic])).length > 0 ? new Map<number, bigint>() : endOffsets(admin, topic),
    );
    return new AcceptedReader(kafka, connection, topic, from);
  }

  /** Everything between the opening and now, partition by partition. */
  async read(): Promise<AcceptedEvent[]> {
    const to = await withAdmin(this.#kafka, this.#connection, (admin) => endOffsets(admin, this.#topic));
    const open = new Set(
      Array.from(to)
        .filter(([partition, end]) => end > (this.#from.get(partition) ?? 0n))
        .map(([partition]) => partition),
    );
    const events: AcceptedEvent[] = [];
    if (open.size === 0) return events;
    const consumer = this.#kafka.consumer({ groupId: `nae-trigger-read-back-${randomUUID()}` });
    await consumer.connect();
    try {
      await consumer.subscribe({ topic: this.#topic, fromBeginning: true });
      await new Promise<void>((resolve, reject) => {
        consumer.on('consumer.crash', ({ payload }) => {
          reject(payload.error);
        });
        // Also after batches that hold only the markers of transactions, which nobody else hears of.
        consumer.on('consumer.end_batch_process', ({ payload }) => {
          if (BigInt(payload.lastOffset) + 1n >= (to.get(payload.partition) ?? 0n)) open.delete(payload.partition);
          if (open.size === 0) resolve();
        });
        void consumer.run({
          autoCommit: false,
          eachBatch: ({ batch }) => {
            const from = this.#from.get(batch.partition) ?? 0n;
            const end = to.get(batch.partition) ?? 0n;
            for (const { offset, value } of batch.messages) {
              const at = BigInt(offset);
              if (at >= from && at < end && value !== null) events.push(decodeAcceptedEvent(value));
            }
            return Promise.resolve();
          },
        });
      });
    } finally {
      await consumer.disconnect();
    }
    return events;
  }
}

/** Let a consumer group begin where a topic ends now. Throws BROKER_FAILED. */
export async function startGroupAtEnd(
  connection: KafkaConnection,
  topic: string,
  groupId: string,
  log: Logger,
): Promise<void> {
  await withAdmin(createKafka(connection, log), connection, async (admin) => {
    const ends = await endOffsets(admin, topic);
    const partitions = Array.from(ends, ([partition, offset]) => ({ partition, offset: String(offset) }));
    await admin.setOffsets({ groupId, topic, partitions });
  });
}

async function withAdmin<T>(kafka: Kafka, connection: KafkaConnection, use: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = await connectAdmin(kafka, connection);
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}

async function endOffsets(admin: Admin, topic: string): Promise<Offsets> {
  const partitions = await admin.fetchTopicOffsets(topic);
  return new Map(partitions.map(({ partition, high }) => [partition, BigInt(high)]));
}
