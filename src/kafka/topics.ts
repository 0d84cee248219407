/** Topics that a client needs: looked up, and created where that is wanted. */
import type { Admin, KafkaJSAggregateError } from 'kafkajs';

import { TriggerError } from '../errors.js';
import { brokerError } from './client.js';

export interface TopicWanted {
  readonly topic: string;
  readonly partitions: number;
  /** Settings of the topic that differ from the cluster's. */
  readonly settings?: Readonly<Record<string, string>>;
}

/**
 * Names of those topics that the cluster lacks.
 *
 * @throws TriggerError BROKER_FAILED where the cluster does not answer.
 */
export async function missingTopics(admin: Admin, topics: readonly string[]): Promise<string[]> {
  try {
    const present = new Set(await admin.listTopics());
    return topics.filter((topic) => !present.has(topic));
  } catch (error) {
    throw brokerError('cannot list the topics', error);
  }
}

/**
 * Create the topics that are missing, with the cluster's own replication, and wait until they have leaders.
 *
 * @throws TriggerError BROKER_FAILED naming the topics where the cluster refuses.
 */
export async function createMissingTopics(admin: Admin, wanted: readonly TopicWanted[]): Promise<void> {
  const names = await missingTopics(
    admin,
    wanted.map(({ topic }) => topic),
  );
  if (names.length === 0) return;
  try {
    // false where somebody else created them meanwhile
    await admin.createTopics({
      waitForLeaders: true,
      topics: wanted
        .filter(({ topic }) => names.includes(topic))
        .map(({ topic, partitions, settings = {} }) => ({
          topic,
          numPartitions: partitions,
          configEntries: Object.entries(settings).map(([name, value]) => ({ name, value })),
        })),
    });
  } catch (error) {
    // kafkajs collects what became of each topic, and says only that there were errors.
    const [first] = (error as Partial<KafkaJSAggregateError>).errors ?? [];
    throw brokerError(`cannot create ${names.join(', ')}`, first ?? error);
  }
}

/** @throws TriggerError BROKER_FAILED naming those of the topics that do not exist. */
export async function requireTopics(admin: Admin, topics: readonly string[], why: string): Promise<void> {
  const missing = await missingTopics(admin, topics);
  if (missing.length > 0)
    throw new TriggerError(
      'BROKER_FAILED',
      `no such topic, or none that this user may see: ${missing.join(', ')} (${why})`,
    );
}
