/** Where the report measures Kafka: a cluster that is somebody's, or a local one. */
import type { Admin } from 'kafkajs';

import { startLocalBroker } from '../broker/local-broker.js';
import { brokerError, connectAdmin, createKafka, type KafkaConnection } from '../kafka/client.js';
import { createMissingTopics } from '../kafka/topics.js';
import type { Logger } from '../telemetry/logger.js';
import { PARTITIONS } from './measure-kafka.js';

export interface Cluster {
  readonly connection: KafkaConnection;
  /** Leave a given cluster as it was found, or stop the local one. */
  end(): Promise<void>;
}

/**
 * The cluster that was given, or a local one, with the topics.
 *
 * @param topics - the names of all, and of whatever else is made there, begin with the first
 * @throws TriggerError BROKER_FAILED where it cannot be reached or refuses the topics
 */
export async function clusterWith(
  topics: readonly string[],
  connection: KafkaConnection | undefined,
  log: Logger,
): Promise<Cluster> {
  const partitions = PARTITIONS;
  if (connection === undefined) {
    const local = await startLocalBroker({ log, topics: topics.map((name) => ({ name, partitions })) });
    return { connection: { brokers: local.brokers }, end: () => local.stop() };
  }
  const admin = await connectAdmin(createKafka(connection, log), connection);
  const wanted = topics.map((topic) => ({ topic, partitions }));
  try {
    await createMissingTopics(admin, wanted);
  } catch (error) {
    await admin.disconnect();
    throw error;
  }
  return { connection, end: () => leaveAsFound(admin, topics[0]!) };
}

/** Delete the topics and groups whose names begin with that of the measured topic. */
async function leaveAsFound(admin: Admin, prefix: string): Promise<void> {
  try {
    const topics = (await admin.listTopics()).filter((one) => one.startsWith(prefix));
    if (topics.length > 0) await admin.deleteTopics({ topics });
    const { groups } = await admin.listGroups();
    const ours = groups.map(({ groupId }) => groupId).filter((one) => one.startsWith(prefix));
    if (ours.length > 0) await admin.deleteGroups(ours);
  } catch (error) {
    throw brokerError(`topics and groups whose names begin with ${prefix} could not all be deleted`, error);
  } finally {
    await admin.disconnect();
  }
}
