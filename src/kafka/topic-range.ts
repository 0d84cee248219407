/** Reads what a topic holds between two offsets of each partition, once, leaving no trace in any consumer group. */
import { randomUUID } from 'node:crypto';

import type { Admin, EachBatchPayload, Kafka, KafkaMessage } from 'kafkajs';

import { brokerError } from './client.js';

/** An offset for each partition. */
export type Offsets = ReadonlyMap<number, bigint>;

export interface TopicRange {
  readonly kafka: Kafka;
  readonly topic: string;
  /** First offset wanted of each partition. Default: 0, the beginning. */
  readonly from?: Offsets;
  /** One past the last offset wanted; of partitions that are not named nothing is read. */
  readonly to: Offsets;
  /** Called for one message after the other, in order within a partition, each once. */
  readonly visit: (partition: number, message: KafkaMessage) => Promise<void> | void;
  /** Ends the reading early. */
  readonly stop?: AbortSignal;
}

/** Where each partition of a topic ends now, but for those that hold nothing. */
export async function endOffsets(admin: Admin, topic: string): Promise<Offsets> {
  const partitions = await admin.fetchTopicOffsets(topic);
  // Emptied partitions end where they begin: nothing is to be waited for.
  return new Map(
    partitions.filter(({ low, high }) => low !== high).map(({ partition, high }) => [partition, BigInt(high)]),
  );
}

/** What each partition of a topic holds now; where retention left nothing, both ends are the same. */
export async function topicBounds(admin: Admin, topic: string): Promise<{ from: Offsets; to: Offsets }> {
  const partitions = await admin.fetchTopicOffsets(topic);
  return {
    from: new Map(partitions.map(({ partition, low }) => [partition, BigInt(low)])),
    to: new Map(partitions.map(({ partition, high }) => [partition, BigInt(high)])),
  };
}

/**
 * Read a range of a topic, committed transactions only.
 *
 * @throws what `visit` throws, and TriggerError BROKER_FAILED where the cluster does not answer.
 */
export async function readTopicRange({ kafka, topic, from, to, visit, stop }: TopicRange): Promise<void> {
  const next = new Map<number, bigint>();
  for (const [partition, end] of to) {
    const start = from?.get(partition) ?? 0n;
    if (start < end) next.set(partition, start);
  }
  let failure: { readonly error: unknown } | undefined;
  const ended = (): boolean =>
    failure !== undefined || stop?.aborted === true || [...next].every(([partition, at]) => at >= to.get(partition)!);
  if (ended()) return;
  const consumer = kafka.consumer({
    groupId: `nae-trigger-read-${randomUUID()}`,
    allowAutoTopicCreation: false,
    maxWaitTimeInMs: 250,
  });
  try {
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await new Promise<void>((resolve, reject) => {
      stop?.addEventListener(
        'abort',
        () => {
          resolve();
        },
        { once: true },
      );
      consumer.on('consumer.crash', ({ payload }) => {
        if (!payload.restart) reject(payload.error);
      });
      // Also batches that hold nothing but transaction markers or aborted messages.
      consumer.on('consumer.end_batch_process', ({ payload: { partition, lastOffset } }) => {
        const after = BigInt(lastOffset) + 1n;
        if (stop?.aborted !== true && next.has(partition) && next.get(partition)! < after) next.set(partition, after);
        if (ended()) resolve();
      });
      const eachBatch = async (payload: EachBatchPayload): Promise<void> => {
        const { batch } = payload;
        const { partition } = batch;
        for (const message of batch.messages) {
          const offset = BigInt(message.offset);
          const at = next.get(partition);
          // A batch that is delivered again begins with what was visited.
          if (at === undefined || offset < at) continue;
          if (offset >= to.get(partition)! || ended()) break;
          next.set(partition, offset + 1n);
          try {
            await visit(partition, message);
          } catch (error) {
            // Thrown from here, kafkajs would try it again.
            failure = { error };
            resolve();
            return;
          }
          await payload.heartbeat();
        }
      };
      consumer.run({ autoCommit: false, eachBatch }).catch(reject);
    });
  } catch (error) {
    throw brokerError(`cannot read topic ${topic}`, error);
  } finally {
    await consumer.disconnect();
  }
  // TypeScript does not see the assignment in the callback.
  const thrown = failure as { readonly error: unknown } | undefined;
  if (thrown !== undefined) throw thrown.error;
}
