/**
 * Sends serialised frames to a Kafka topic as fast as kafkajs goes. Frames are keyed `run/orbit`, so that all of one
 * orbit stay in one partition and in order.
 */
import { Partitioners, type Message, type PartitionMetadata, type Producer } from 'kafkajs';

import { messageOf, TriggerError } from '../errors.js';
import {
  asBuffer,
  brokerError,
  connectAdmin,
  createKafka,
  isRetriable,
  type KafkaConnection,
} from '../kafka/client.js';
import { createMissingTopics, requireTopics } from '../kafka/topics.js';
import type { Logger } from '../telemetry/logger.js';

export interface FrameProducerOptions {
  readonly connection: KafkaConnection;
  readonly topic: string;
  readonly log: Logger;
  /** Replicas that must have a frame before it counts as sent: the leader (1) or all (-1). Default: 1. */
  readonly acks?: 1 | -1;
  /** Partitions of the topic where it is missing and gets created; 0 creates none. Default: 4. */
  readonly createWithPartitions?: number;
  /** Most that one request brings to one partition [bytes]; a larger frame goes alone. Default: 900 000. */
  readonly maxPartitionBytes?: number;
}

export interface OutgoingFrame {
  readonly run: number;
  readonly orbit: number;
  /** The serialised L1Frame; must not be written to until a later `flush` has resolved. */
  readonly bytes: Uint8Array;
}

/** Frames that may wait in a request for the one on its way to be answered [bytes], over all partitions. */
const MAX_REQUEST_BYTES = 8 * 1024 * 1024;

export class FrameProducer {
  readonly #options: FrameProducerOptions;
  readonly #producer: Producer;
  readonly #partitions: readonly PartitionMetadata[];
  readonly #partitionOf = Partitioners.DefaultPartitioner();
  #waiting: Message[] = [];
  #waitingBytes = 0;
  /** Bytes waiting for each partition. */
  readonly #partitionBytes = new Map<number, number>();
  /** The request on its way; one at a time, because a retry must not overtake. */
  #underWay: Promise<void> = Promise.resolve();
  #failure: TriggerError | undefined;

  private constructor(options: FrameProducerOptions, producer: Producer, partitions: readonly PartitionMetadata[]) {
    this.#options = options;
    this.#producer = producer;
    this.#partitions = partitions;
  }

  /** @throws TriggerError BROKER_FAILED where the cluster cannot be reached or the topic cannot be had. */
  static async open(options: FrameProducerOptions): Promise<FrameProducer> {
    const { connection, topic, log, createWithPartitions = 4 } = options;
    const kafka = createKafka(connection, log);
    const admin = await connectAdmin(kafka, connection);
    const producer = kafka.producer({
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
    });
    try {
      if (createWithPartitions === 0) await requireTopics(admin, [topic], 'and it may not be created');
      else await createMissingTopics(admin, [{ topic, partitions: createWithPartitions }]);
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
      await producer.connect();
      return new FrameProducer(options, producer, topics[0]!.partitions);
    } catch (error) {
      throw brokerError(`cannot write to topic ${topic}`, error);
    } finally {
      await admin.disconnect();
    }
  }

  /**
   * Take a frame. Undefined: more may follow at once; a promise: wait for it first. It rejects with a TriggerError
   * SINK_FAILED where an earlier frame could not be sent.
   */
  send(frame: OutgoingFrame): Promise<void> | undefined {
    const { topic, maxPartitionBytes = 900_000 } = this.#options;
    const message = { key: `${frame.run}/${frame.orbit}`, value: asBuffer(frame.bytes) };
    const partition = this.#partitionOf({ topic, partitionMetadata: [...this.#partitions], message });
    const size = frame.bytes.length;
    const queued = this.#partitionBytes.get(partition) ?? 0;
    const full =
      queued > 0 && (queued + size > maxPartitionBytes || this.#waitingBytes + size > MAX_REQUEST_BYTES)
        ? this.#dispatch()
        : undefined;
    this.#waiting.push({ ...message, partition });
    this.#waitingBytes += size;
    this.#partitionBytes.set(partition, (this.#partitionBytes.get(partition) ?? 0) + size);
    return full;
  }

  /** Resolves once everything taken is sent and acknowledged; rejects with SINK_FAILED where it is not. */
  async flush(): Promise<void> {
    await this.#dispatch();
    await this.#underWay;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Let go of the connections; `flush` first, or what waits is dropped. */
  async close(): Promise<void> {
    await this.#underWay;
    await this.#producer.disconnect();
  }

  /** Put what waits on its way; resolves when that was possible, which is when the request before it was answered. */
  #dispatch(): Promise<void> {
    const messages = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#partitionBytes.clear();
    const before = this.#underWay;
    this.#underWay = before.then(() => this.#request(messages));
    return before.then(() => {
      if (this.#failure !== undefined) throw this.#failure;
    });
  }

  async #request(messages: Message[]): Promise<void> {
    const { topic, acks = 1 } = this.#options;
    if (messages.length === 0 || this.#failure !== undefined) return;
    try {
      await this.#producer.send({ topic, acks, messages });
    } catch (cause) {
      const text = `cannot write ${messages.length} frames to topic ${topic}: ${messageOf(cause)}`;
      this.#failure = new TriggerError('SINK_FAILED', text, { cause, retryable: isRetriable(cause) });
    }
  }
}
