/**
 * Reads accepted events back from their topic, with a consumer that shares nothing with the pipeline.
 */
import type { Admin, Kafka } from 'kafkajs';

import { decodeAcceptedEvent, type AcceptedEvent } from '../event/accepted-event.js';
import { connectAdmin, createKafka, type KafkaConnection } from '../kafka/client.js';
import { endOffsets, readTopicRange, type Offsets } from '../kafka/topic-range.js';
import { missingTopics } from '../kafka/topics.js';
import type { Logger } from '../telemetry/logger.js';

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
    const events: AcceptedEvent[] = [];
    await readTopicRange({
      kafka: this.#kafka,
      topic: this.#topic,
      from: this.#from,
      to,
      visit: (_partition, { value }) => {
        if (value !== null) events.push(decodeAcceptedEvent(value));
      },
    });
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
    const ends = await admin.fetchTopicOffsets(topic);
    const partitions = ends.map(({ partition, high }) => ({ partition, offset: high }));
    await admin.setOffsets({ groupId, topic, partitions });
  });
}

export async function withAdmin<T>(
  kafka: Kafka,
  connection: KafkaConnection,
  use: (admin: Admin) => Promise<T>,
): Promise<T> {
  const admin = await connectAdmin(kafka, connection);
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}
