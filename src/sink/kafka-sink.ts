/**
 * Accepted events and dead letters to two Kafka topics. Deliveries with a claim are transactions, which commit the
 * position of their input together with them: exactly once. Others at least once: a request that is tried again may
 * leave an event twice, with the same source position.
 *
 * Accepted events: key `run/orbit`, value a serialised `AcceptedEvent`, header `content-type`.
 * Dead letters: key the source's partition (`topic/partition`), value the bytes as received, or the event as a
 * serialised frame of one; headers `reason`, `detail`, `kind` (`frame` or `event`), `source`, `partition`, `offset`
 * and, of events, `index`.
 *
 * kafkajs' idempotent producer is not used: after a request of which one partition failed for good it takes back the
 * sequence numbers of all, so that the next records to the others pass for repetitions and are dropped.
 */
import { Partitioners, type Message, type Producer, type TopicMessages } from 'kafkajs';

import { ClaimEnded, messageOf, TriggerError } from '../errors.js';
import { encodeAcceptedEvent, type AcceptedEvent, type DeadLetter } from '../event/accepted-event.js';
import { DEFAULT_FRAME_LIMITS } from '../event/frame.js';
import { asBuffer, brokerError, connectAdmin, createKafka, isRetriable, protocolErrorType } from '../kafka/client.js';
import type { KafkaConnection } from '../kafka/client.js';
import { PartitionClaim } from '../kafka/partition-claims.js';
import { encodeLedgerEntry, nextEntry, type LedgerEntry, type LedgerSection } from '../ledger/entry.js';
import { createMissingTopics, requireTopics } from '../kafka/topics.js';
import type { Logger } from '../telemetry/logger.js';
import type { Delivery, Sink } from './sink.js';

interface LedgerOptions {
  readonly topic: string;
  /** See LedgerEntry. */
  readonly environment: string;
}

export interface KafkaSinkOptions {
  readonly connection: KafkaConnection;
  readonly topic: string;
  readonly deadLetterTopic: string;
  /** Where decisions are taken down; default: nowhere. */
  readonly ledger?: LedgerOptions | undefined;
  readonly log: Logger;
  /** Partitions of a topic that is missing and gets created; 0 creates none. Default: 1. */
  readonly createWithPartitions?: number;
  /** Largest frame that may have to be dead-lettered [bytes]. Default: that of the frame limits. */
  readonly maxFrameBytes?: number;
  /**
   * Most that one request carries [bytes], except for a single message that is larger. Default: 900 000, below the
   * 1 048 588 that brokers take unless told otherwise.
   */
  readonly maxRequestBytes?: number;
}

/** Content type of accepted events. */
export const ACCEPTED_CONTENT_TYPE = 'application/x-protobuf; messageType="l1trigger.v1.AcceptedEvent"';

/** Kafka's framing of one record with its headers, at most; keys and headers are counted by themselves. */
const RECORD_OVERHEAD_BYTES = 64;

/** Headers and framing of a dead letter, which holds a whole frame besides. */
const DEAD_LETTER_OVERHEAD_BYTES = 64 * 1024;

/**
 * A request costs kafkajs and the broker a millisecond of CPU time, as much as deciding three thousand events of the
 * small model.
 */
const WRITE_INTERVAL_MS = 10;

/** What a broker says of a transaction's topics where one of them, of which it gives no name, is not to be had. */
const TOPIC_IN_THE_WAY: ReadonlySet<string> = new Set([
  'OPERATION_NOT_ATTEMPTED',
  'TOPIC_AUTHORIZATION_FAILED',
  'UNKNOWN_TOPIC_OR_PARTITION',
]);

interface Outgoing {
  readonly topic: string;
  readonly message: Message;
  readonly sizeBytes: number;
  /** What it is and where it came from, for errors. */
  describe(): string;
}

/**
 * A sink that is connected and has its topics.
 *
 * @throws TriggerError BROKER_FAILED where the cluster cannot be reached, or the topics neither exist nor get created.
 */
export async function openKafkaSink(options: KafkaSinkOptions): Promise<Sink> {
  const { connection, topic, deadLetterTopic, log, createWithPartitions: partitions = 1 } = options;
  const { maxFrameBytes = DEFAULT_FRAME_LIMITS.maxFrameBytes } = options;
  const ledgerTopics = options.ledger === undefined ? [] : [options.ledger.topic];
  const kafka = createKafka(connection, log);
  const admin = await connectAdmin(kafka, connection);
  try {
    if (partitions === 0)
      await requireTopics(admin, [topic, deadLetterTopic, ...ledgerTopics], 'and none may be created');
    else {
      await createMissingTopics(admin, [
        { topic, partitions },
        ...ledgerTopics.map((name) => ({ topic: name, partitions })),
        {
          topic: deadLetterTopic,
          partitions,
          settings: { 'max.message.bytes': String(maxFrameBytes + DEAD_LETTER_OVERHEAD_BYTES) },
        },
      ]);
    }
  } finally {
    await admin.disconnect();
  }
  const producer = kafka.producer({
    allowAutoTopicCreation: false,
    createPartitioner: Partitioners.DefaultPartitioner,
    // About half a minute: longer than a broker needs to hand its partitions over.
    retry: { retries: 10 },
  });
  try {
    await producer.connect();
  } catch (error) {
    throw brokerError(`cannot write to ${connection.brokers.join(', ')}`, error);
  }
  return new KafkaSink(options, producer);
}

class KafkaSink implements Sink {
  readonly name: string;
  readonly writeIntervalMs = WRITE_INTERVAL_MS;
  readonly #options: KafkaSinkOptions;
  readonly #producer: Producer;
  /** Without transactions: the end of each partition's chain, which begins with this sink. */
  readonly #chains = new Map<string, Uint8Array>();

  constructor(options: KafkaSinkOptions, producer: Producer) {
    this.name = `kafka:${options.topic}`;
    this.#options = options;
    this.#producer = producer;
  }

  async write({ accepted, deadLetters, claim, last, ledger = [] }: Delivery): Promise<void> {
    const { topic, deadLetterTopic, maxRequestBytes = 900_000 } = this.#options;
    const outgoing = [
      ...accepted.map((event) => acceptedMessage(topic, event)),
      ...deadLetters.map((letter) => deadLetterMessage(deadLetterTopic, letter)),
    ];
    if (!(claim instanceof PartitionClaim) || last === undefined) {
      for (const request of inRequests(outgoing, maxRequestBytes)) await this.#send(request);
      // Afterwards, so that the ledger says nothing that is not there.
      const entries = this.#entries(ledger);
      const messages = entries.map((entry) => this.#ledgerMessage(entry));
      for (const request of inRequests(messages, maxRequestBytes)) await this.#send(request);
      for (const { source, partition, chain } of entries) this.#chains.set(`${source}/${partition}`, chain);
      return;
    }
    const entries = this.#entries(ledger, chainBytes(claim.metadata));
    outgoing.push(...entries.map((entry) => this.#ledgerMessage(entry)));
    const requests = inRequests(outgoing, maxRequestBytes);
    try {
      const topicMessages = requests.map((request) => this.#byTopic(request));
      const chain = entries.at(-1)?.chain;
      await claim.commit(topicMessages, last.offset + 1n, chain === undefined ? undefined : chainText(chain));
    } catch (error) {
      if (error instanceof ClaimEnded) throw error;
      throw this.#writeError(outgoing, error);
    }
  }

  async close(): Promise<void> {
    await this.#producer.disconnect();
  }

  /** @param claimed - end of the chain of a claimed partition; undefined: those of this sink are gone on with */
  #entries(sections: readonly LedgerSection[], claimed?: Uint8Array): LedgerEntry[] {
    const { ledger, topic } = this.#options;
    if (ledger === undefined) return [];
    const origin = { sink: topic, environment: ledger.environment, atLeastOnce: claimed === undefined };
    const ends = new Map<string, Uint8Array>();
    return sections.map((section) => {
      const key = `${section.source}/${section.partition}`;
      const previous = ends.get(key) ?? claimed ?? this.#chains.get(key) ?? new Uint8Array(0);
      const entry = nextEntry(section, previous, origin);
      ends.set(key, entry.chain);
      return entry;
    });
  }

  #ledgerMessage(entry: LedgerEntry): Outgoing {
    return ledgerMessage(this.#options.ledger!.topic, entry);
  }

  #byTopic(request: readonly Outgoing[]): TopicMessages[] {
    const { topic: accepted, deadLetterTopic, ledger } = this.#options;
    return [accepted, deadLetterTopic, ledger?.topic].flatMap((topic) => {
      if (topic === undefined) return [];
      const messages = request.filter((outgoing) => outgoing.topic === topic).map(({ message }) => message);
      return messages.length === 0 ? [] : [{ topic, messages }];
    });
  }

  async #send(request: readonly Outgoing[]): Promise<void> {
    try {
      await this.#producer.sendBatch({ acks: -1, topicMessages: this.#byTopic(request) });
    } catch (error) {
      throw this.#writeError(request, error);
    }
  }

  #writeError(request: readonly Outgoing[], cause: unknown): TriggerError {
    if (request.length === 0) return brokerError(`cannot commit the position of ${this.name}`, cause);
    const type = protocolErrorType(cause) ?? '';
    const topics = [...new Set(request.map(({ topic }) => topic))].join(', ');
    const hint = TOPIC_IN_THE_WAY.has(type) ? `; is one of ${topics} missing, or not to be written by this user?` : '';
    const message =
      type === 'MESSAGE_TOO_LARGE'
        ? tooLarge(request)
        : `cannot write ${request.length} messages to ${this.name}, first ${request[0]!.describe()}: ${messageOf(cause)}${hint}`;
    return new TriggerError('SINK_FAILED', message, { cause, retryable: isRetriable(cause) });
  }
}

/** The broker does not say which topic refused. What counts is the size of all that a partition gets at once. */
function tooLarge(outgoing: readonly Outgoing[]): string {
  const topics = new Set(outgoing.map(({ topic }) => topic));
  const sent = Array.from(topics, (topic) => {
    const messages = outgoing.filter((one) => one.topic === topic);
    const bytes = messages.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const largest = messages.reduce((one, other) => (other.sizeBytes > one.sizeBytes ? other : one));
    const what = messages.length === 1 ? '' : `${messages.length} messages, the largest `;
    return `${topic}, ${bytes} bytes: ${what}${largest.describe()}`;
  });
  return `${sent.length === 1 ? 'too large for' : 'too large for one of'} ${sent.join('; ')}; raise its max.message.bytes`;
}

function acceptedMessage(topic: string, event: AcceptedEvent): Outgoing {
  const value = asBuffer(encodeAcceptedEvent(event));
  const message = { key: `${event.run}/${event.orbit}`, value, headers: { 'content-type': ACCEPTED_CONTENT_TYPE } };
  return {
    topic,
    message,
    sizeBytes: sizeOf(message),
    describe: () => `the accepted event of run ${event.run}, orbit ${event.orbit}, crossing ${event.bunchCrossing}`,
  };
}

function deadLetterMessage(topic: string, letter: DeadLetter): Outgoing {
  const { source, partition, offset } = letter.position;
  const message = {
    key: `${source}/${partition}`,
    value: asBuffer(letter.bytes),
    headers: {
      reason: letter.reason,
      detail: letter.detail,
      kind: letter.kind,
      source,
      partition: String(partition),
      offset: String(offset),
      ...(letter.index === undefined ? {} : { index: String(letter.index) }),
    },
  };
  return {
    topic,
    message,
    sizeBytes: sizeOf(message),
    describe: () => `the dead letter (${letter.reason}) of ${source}, partition ${partition}, offset ${offset}`,
  };
}

/**
 * The chain value travels with the committed offset, as its metadata: whoever claims the partition next finds both at
 * one place, of one transaction, and need not search the ledger for its end.
 */
const CHAIN_PREFIX = 'ledger:';

function chainText(chain: Uint8Array): string {
  return CHAIN_PREFIX + asBuffer(chain).toString('hex');
}

function chainBytes(metadata: string): Uint8Array {
  return metadata.startsWith(CHAIN_PREFIX)
    ? Buffer.from(metadata.slice(CHAIN_PREFIX.length), 'hex')
    : new Uint8Array(0);
}

function ledgerMessage(topic: string, entry: LedgerEntry): Outgoing {
  const { source, partition, frames } = entry;
  const message = {
    key: `${source}/${partition}`,
    value: asBuffer(encodeLedgerEntry(entry)),
    headers: { 'content-type': 'application/x-protobuf; messageType="l1trigger.v1.LedgerEntry"' },
  };
  return {
    topic,
    message,
    sizeBytes: sizeOf(message),
    describe: () => `the ledger of ${frames.length} frames of ${source}, partition ${partition}`,
  };
}

function sizeOf(message: { key: string; value: Buffer; headers: Readonly<Record<string, string>> }): number {
  let bytes = RECORD_OVERHEAD_BYTES + Buffer.byteLength(message.key) + message.value.length;
  for (const [name, value] of Object.entries(message.headers)) bytes += name.length + Buffer.byteLength(value) + 4;
  return bytes;
}

/** Cut into requests of bounded size, in order; what is larger goes alone. */
function inRequests(outgoing: readonly Outgoing[], maxBytes: number): Outgoing[][] {
  const requests: Outgoing[][] = [];
  let bytes = Infinity;
  for (const next of outgoing) {
    if (bytes + next.sizeBytes > maxBytes) {
      requests.push([]);
      bytes = 0;
    }
    requests.at(-1)!.push(next);
    bytes += next.sizeBytes;
  }
  return requests;
}
