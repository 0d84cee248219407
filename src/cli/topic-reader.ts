/**
 * Reads what a topic holds, of transactions what was committed, with a consumer that shares nothing with the pipeline.
 */
import { randomUUID } from 'node:crypto';

import type { Admin, Kafka, KafkaMessage } from 'kafkajs';

/** Where partitions begin or end. */
export type Offsets = ReadonlyMap<number, bigint>;

/** Every message between `from` (absent: the beginning) and `to`, partition by partition in order. */
export async function readTopic(
  kafka: Kafka,
  topic: string,
  from: Offsets,
  to: Offsets,
  onMessage: (message: KafkaMessage, partition: number) => void,
): Promise<void> {
  const open = new Set(
    Array.from(to)
      .filter(([partition, end]) => end > (from.get(partition) ?? 0n))
      .map(([partition]) => partition),
  );
  if (open.size === 0) return;
  const consumer = kafka.consumer({ groupId: `nae-trigger-read-back-${randomUUID()}` });
  await consumer.connect();
  try {
    await consumer.subscribe({ topic, fromBeginning: true });
    await new Promise<void>((resolve, reject) => {
      consumer.on('consumer.crash', ({ payload }) => {
        reject(payload.error);
      });
      // Also after batches that hold only the markers of transactions, which nobody else hears of.
      consumer.on('consumer.end_batch_process', ({ payload }) => {
        if (BigInt(payload.lastOffset) + 1n >= (to.get(payload.partition) ?? 0n)) open.delete(payload.partition);
        if (open.size === 0) resolve();
      });
      consumer
        .run({
          autoCommit: false,
          eachBatch: ({ batch }) => {
            for (const message of batch.messages) {
              const at = BigInt(message.offset);
              if (at >= (from.get(batch.partition) ?? 0n) && at < (to.get(batch.partition) ?? 0n)) {
                onMessage(message, batch.partition);
              }
            }
            return Promise.resolve();
          },
        })
        .catch(reject);
    });
  } finally {
    await consumer.disconnect();
  }
}

export async function endOffsets(admin: Admin, topic: string): Promise<Offsets> {
  const partitions = await admin.fetchTopicOffsets(topic);
  // Emptied partitions end where they begin: nothing is to be waited for.
  return new Map(
    partitions.filter(({ low, high }) => low !== high).map(({ partition, high }) => [partition, BigInt(high)]),
  );
}
