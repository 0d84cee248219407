/**
 * Sends dead letters again, each once: what is sent and the consumer group's memory of it are one Kafka transaction.
 * Records get the dead-lettered bytes, and headers that keep what the letter said (`dead-letter-reason` and so on).
 */
import { Partitioners, type Admin, type Kafka, type Message, type Producer, type Transaction } from 'kafkajs';

import { messageOf, TriggerError } from '../errors.js';
import type { DeadLetter } from '../event/accepted-event.js';
import { outlineOf } from '../event/frame.js';
import {
  asBuffer,
  brokerError,
  connectAdmin,
  createKafka,
  protocolErrorType,
  type KafkaConnection,
} from '../kafka/client.js';
import { isEnding, isFenced, sendOffsets } from '../kafka/transactions.js';
import type { Logger } from '../telemetry/logger.js';
import type { LetterStore, StoredLetter } from './letter-store.js';
import { isSelected, type Selection } from './select.js';
import { SentLetters } from './sent-letters.js';

export interface RedriveOptions {
  readonly connection: KafkaConnection;
  readonly log: Logger;
  readonly selection: Selection;
  /** Topic to send to; undefined: the source that each letter names, which has to be a topic. */
  readonly topic: string | undefined;
  /** Most letters sent. */
  readonly limit: number;
  /** Consumer group that remembers what was sent; also the transactional id. */
  readonly group: string;
  readonly dryRun: boolean;
}

export interface RedriveResult {
  /** Letters sent (or, in a dry run, that would be), by target topic. */
  readonly sent: ReadonlyMap<string, number>;
  /** Letters that were asked for and had been sent by an earlier call. */
  readonly sentBefore: number;
  /** Messages of the topic that are no dead letters. */
  readonly foreign: number;
}

/** One transaction, and one request to a partition, carries as much at most, unless a single letter is larger. */
const MAX_TRANSACTION_BYTES = 900_000;
const MAX_TRANSACTION_LETTERS = 1000;

interface Outgoing {
  readonly topic: string;
  readonly message: Message;
  readonly stored: StoredLetter;
}

/** Where the memory of some letters is: a consumer group's offset of a partition. */
interface Memory {
  readonly groupId: string;
  readonly topic: string;
  readonly partition: number;
  readonly letters: SentLetters;
}

/**
 * Send the selected letters that were not sent before.
 *
 * A second call at the same time fences the first, whose next transaction fails. What was committed until `stop`
 * or an error is not sent again.
 *
 * @throws TriggerError SINK_FAILED where a letter cannot be sent, BROKER_FAILED where the cluster does not answer,
 *   USAGE where a letter has no topic to go to
 */
export async function redrive(store: LetterStore, options: RedriveOptions, stop: AbortSignal): Promise<RedriveResult> {
  const { connection, log, topic } = options;
  if (topic !== undefined && topic === store.topic) {
    throw new TriggerError('USAGE', `${store.name}: dead letters cannot be sent to the topic that they lie in`);
  }
  const kafka = createKafka({ ...connection, clientId: 'nae-trigger-redrive' }, log);
  const admin = await connectAdmin(kafka, connection);
  const redriver = new Redriver(store, options, kafka, admin);
  try {
    return await redriver.run(stop);
  } finally {
    await redriver.close();
    await admin.disconnect();
  }
}

class Redriver {
  readonly #store: LetterStore;
  readonly #options: RedriveOptions;
  readonly #admin: Admin;
  readonly #producer: Producer;
  readonly #memories = new Map<string, Promise<Memory[]>>();
  readonly #sent = new Map<string, number>();
  readonly #full = new AbortController();
  #topics: ReadonlySet<string> = new Set();
  #transaction: Transaction | undefined;
  #taken = 0;
  #sentBefore = 0;
  #waiting: Outgoing[] = [];
  #waitingBytes = 0;
  #touched = new Set<Memory>();

  constructor(store: LetterStore, options: RedriveOptions, kafka: Kafka, admin: Admin) {
    this.#store = store;
    this.#options = options;
    this.#admin = admin;
    this.#producer = kafka.producer({
      transactionalId: options.group,
      maxInFlightRequests: 1,
      idempotent: true,
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
      retry: { retries: 10 },
    });
  }

  async run(stop: AbortSignal): Promise<RedriveResult> {
    try {
      this.#topics = new Set(await this.#admin.listTopics());
      if (!this.#options.dryRun) {
        await this.#producer.connect();
        // Before any memory is read: this ends the transaction of a predecessor, whose offsets are final then.
        this.#transaction = await this.#producer.transaction();
      }
    } catch (error) {
      throw brokerError(`cannot start a transaction at ${this.#options.connection.brokers.join(', ')}`, error);
    }
    const foreign = await this.#store.read((stored) => this.#visit(stored), AbortSignal.any([stop, this.#full.signal]));
    await this.#flush();
    return { sent: this.#sent, sentBefore: this.#sentBefore, foreign };
  }

  async close(): Promise<void> {
    // One that began and sent nothing; after a failure it is aborted already, or the coordinator times it out.
    await this.#transaction?.abort().catch(() => undefined);
    await this.#producer.disconnect().catch(() => undefined);
  }

  async #visit(stored: StoredLetter): Promise<void> {
    const { limit, selection } = this.#options;
    const { letter, number } = stored;
    const topic = this.#options.topic ?? letter.position.source;
    const selected = isSelected(selection, letter);
    if (!this.#topics.has(topic)) {
      if (!selected) return;
      throw new TriggerError(
        'USAGE',
        `${placeOf(this.#store, stored)} comes from ${letter.position.source}, and there is no such topic to send it ` +
          `to: expected --to kafka:TOPIC with a topic that exists`,
      );
    }
    const memory = await this.#memoryOf(stored.partition, topic);
    const sentBefore = memory.letters.meet(number);
    if (!selected) return;
    if (sentBefore) {
      this.#sentBefore++;
      return;
    }
    const message = messageFor(letter);
    const bytes = letter.bytes.length + 1024;
    if (this.#waiting.length === MAX_TRANSACTION_LETTERS || this.#waitingBytes + bytes > MAX_TRANSACTION_BYTES) {
      await this.#flush();
    }
    memory.letters.sent(number);
    this.#touched.add(memory);
    this.#waiting.push({ topic, message, stored });
    this.#waitingBytes += bytes;
    if (++this.#taken === limit) this.#full.abort();
  }

  async #flush(): Promise<void> {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    const offsets = [...this.#touched].map((memory) => ({ memory, ...memory.letters.format() }));
    const topics = byTopic(waiting);
    if (!this.#options.dryRun) {
      try {
        const transaction = (this.#transaction ??= await this.#producer.transaction());
        await transaction.sendBatch({
          acks: -1,
          topicMessages: Array.from(topics, ([topic, letters]) => ({
            topic,
            messages: letters.map(({ message }) => message),
          })),
        });
        for (const { memory, offset, metadata } of offsets) {
          const partitions = [{ partition: memory.partition, offset, metadata }];
          await sendOffsets(transaction, {
            consumerGroupId: memory.groupId,
            topics: [{ topic: memory.topic, partitions }],
          });
        }
        await transaction.commit();
        this.#transaction = undefined;
      } catch (error) {
        throw this.#failure(error);
      }
    }
    for (const [topic, letters] of topics) this.#sent.set(topic, (this.#sent.get(topic) ?? 0) + letters.length);
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#touched = new Set();
  }

  #failure(cause: unknown): TriggerError {
    const largest = this.#waiting.reduce((one, other) =>
      other.stored.letter.bytes.length > one.stored.letter.bytes.length ? other : one,
    );
    const why =
      protocolErrorType(cause) === 'MESSAGE_TOO_LARGE'
        ? `${largest.topic} does not take ${placeOf(this.#store, largest.stored)} of ${largest.stored.letter.bytes.length} ` +
          `bytes; raise the topic's max.message.bytes`
        : isFenced(cause) || isEnding(cause)
          ? `another redrive with --group ${this.#options.group} took over`
          : `${this.#waiting.length} letters from ${placeOf(this.#store, this.#waiting[0]!.stored)} on: ${messageOf(cause)}`;
    return new TriggerError('SINK_FAILED', `not sent, nor remembered as sent: ${why}`, { cause });
  }

  /**
   * Where letters are remembered. Those of a topic: under the group, by their own partition and offset. Those of a
   * file: a group only has offsets of topics, so under a group for that file, as the lines sent to a topic.
   */
  async #memoryOf(partition: number, target: string): Promise<Memory> {
    const { topic = target, contentSha256 } = this.#store;
    const { group } = this.#options;
    const groupId = contentSha256 === undefined ? group : `${group}-${contentSha256.slice(0, 16)}`;
    let memories = this.#memories.get(topic);
    if (memories === undefined) {
      memories = this.#recall(groupId, topic);
      this.#memories.set(topic, memories);
    }
    return (await memories)[partition]!;
  }

  async #recall(groupId: string, topic: string): Promise<Memory[]> {
    const memories: Memory[] = [];
    try {
      const [fetched] = await this.#admin.fetchOffsets({ groupId, topics: [topic] });
      for (const { partition, offset, metadata } of fetched!.partitions) {
        memories[partition] = { groupId, topic, partition, letters: SentLetters.parse(BigInt(offset), metadata) };
      }
    } catch (error) {
      throw brokerError(`cannot find what group ${groupId} sent already`, error);
    }
    return memories;
  }
}

function byTopic(outgoing: readonly Outgoing[]): Map<string, Outgoing[]> {
  const topics = new Map<string, Outgoing[]>();
  for (const one of outgoing) {
    const own = topics.get(one.topic);
    if (own === undefined) topics.set(one.topic, [one]);
    else own.push(one);
  }
  return topics;
}

function placeOf({ name, topic }: LetterStore, { partition, number }: StoredLetter): string {
  return topic === undefined
    ? `the dead letter in ${name}, line ${number + 1n},`
    : `the dead letter at ${topic}, partition ${partition}, offset ${number},`;
}

/** Keyed as frames are, so that those of an orbit stay together; by their origin where they name no orbit. */
function messageFor({ kind, reason, detail, position, index, bytes }: DeadLetter): Message {
  const outline = outlineOf(bytes);
  const origin = `${position.source}/${position.partition}`;
  return {
    key: outline === undefined ? origin : `${outline.run}/${outline.orbit}`,
    value: asBuffer(bytes),
    headers: {
      'dead-letter-reason': reason,
      'dead-letter-detail': detail,
      'dead-letter-kind': kind,
      'dead-letter-source': position.source,
      'dead-letter-partition': String(position.partition),
      'dead-letter-offset': String(position.offset),
      ...(index === undefined ? {} : { 'dead-letter-index': String(index) }),
    },
  };
}
