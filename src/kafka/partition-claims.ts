/**
 * The right to publish what comes of an input partition, and the transactions that use it.
 *
 * Each input partition has one transactional id, the same in every process of a group. Claiming a partition
 * initialises its producer: that fences whoever held the partition before, and ends a transaction left open. The
 * committed offset that is read after it is therefore final, and a transaction of this claim can only follow on it:
 * whatever the group believes meanwhile, two processes never both commit the same frames.
 *
 * A claim is used up by the first failure. kafkajs takes back the sequence numbers of all partitions of a request of
 * which one failed, and could then have new records dropped as repetitions, so a failed transaction is never tried
 * again by the producer it failed with. Its frames are read again under a new claim.
 */
import {
  Partitioners,
  type PartitionOffset,
  type Kafka,
  type Producer,
  type TopicMessages,
  type Transaction,
} from 'kafkajs';

import { ClaimEnded, messageOf } from '../errors.js';
import type { Logger } from '../telemetry/logger.js';
import { brokerError, createKafka, isRetriable, type KafkaConnection } from './client.js';
import { isFenced, sendOffsets } from './transactions.js';

export interface PartitionClaimsOptions {
  readonly connection: KafkaConnection;
  /** Group whose offsets the transactions commit. */
  readonly groupId: string;
  /** Input topic. */
  readonly topic: string;
  readonly log: Logger;
}

/** How long a transaction may stay open before the broker ends it [ms]: as long as readers may have to wait for a crash. */
const TRANSACTION_TIMEOUT_MS = 30_000;

export class PartitionClaims {
  readonly #options: PartitionClaimsOptions;
  readonly #kafka: Kafka;
  readonly #claims = new Set<PartitionClaim>();

  constructor(options: PartitionClaimsOptions) {
    this.#options = options;
    // Transactions that follow one another closely make the broker answer CONCURRENT_TRANSACTIONS, which is routine.
    this.#kafka = createKafka(options.connection, options.log, { retry: { initialRetryTime: 20, retries: 10 } });
  }

  /**
   * Claim a partition: ends the claim of any other process, and of this one, on it.
   *
   * @throws TriggerError BROKER_FAILED where the cluster refuses or does not answer.
   */
  async claim(partition: number): Promise<PartitionClaim> {
    const { groupId, topic, log } = this.#options;
    const producer = this.#kafka.producer({
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
      transactionalId: transactionalId(groupId, topic, partition),
      transactionTimeout: TRANSACTION_TIMEOUT_MS,
      idempotent: false,
      maxInFlightRequests: 1,
      retry: { retries: 10 },
    });
    try {
      await producer.connect();
      // Initialises the producer. A transaction begins at the broker with its first record or offset only.
      const transaction = await producer.transaction();
      const claim = new PartitionClaim({ partition, groupId, topic, log, producer, transaction }, () => {
        this.#claims.delete(claim);
      });
      this.#claims.add(claim);
      return claim;
    } catch (error) {
      await producer.disconnect().catch(() => undefined);
      throw brokerError(`cannot claim partition ${partition} of ${topic} for group ${groupId}`, error);
    }
  }

  /** End all claims. */
  async close(): Promise<void> {
    await Promise.all(Array.from(this.#claims, (claim) => claim.end('closed')));
  }
}

/** Stable over restarts: the same partition of the same group always has the same. */
export function transactionalId(groupId: string, topic: string, partition: number): string {
  return `${groupId}/${topic}/${partition}`;
}

interface ClaimParts {
  readonly partition: number;
  readonly groupId: string;
  readonly topic: string;
  readonly log: Logger;
  readonly producer: Producer;
  /** Begun already: the first to be committed. */
  readonly transaction: Transaction;
}

export class PartitionClaim {
  readonly partition: number;
  /** Text that is committed with every offset: what the group keeps of the partition besides its position. */
  metadata = '';
  /** Called once where the claim ends other than by {@link end}: why, and whether another process took it over. */
  onLost: (reason: unknown, fenced: boolean) => void = () => undefined;
  readonly #parts: ClaimParts;
  readonly #forget: () => void;
  #held = true;
  #next: Transaction | undefined;
  #busy: Promise<unknown> = Promise.resolve();

  constructor(parts: ClaimParts, forget: () => void) {
    this.partition = parts.partition;
    this.#parts = parts;
    this.#next = parts.transaction;
    this.#forget = forget;
  }

  get held(): boolean {
    return this.#held;
  }

  /**
   * One transaction: all of the requests and the group's offset, or nothing of them.
   *
   * @param requests - sent one after the other; may be empty
   * @param offset - the next one that the group is to read of the input partition
   * @param metadata - replaces {@link metadata}, once committed
   * @throws ClaimEnded where nothing was committed and the frames are to be read again, under a new claim or by
   * another process; TriggerError BROKER_FAILED where trying again is of no use. The claim has ended in both cases.
   */
  commit(requests: readonly TopicMessages[][], offset: bigint, metadata = this.metadata): Promise<void> {
    const committed = this.#busy.then(() => this.#commit(requests, offset, metadata));
    this.#busy = committed.catch(() => undefined);
    return committed;
  }

  /** Give the partition up, after the transaction that is under way. */
  async end(reason: string): Promise<void> {
    if (this.#held) {
      this.#held = false;
      this.#parts.log.debug({ partition: this.partition, reason }, 'claim ended');
    }
    await this.#busy;
    this.#forget();
    await this.#parts.producer.disconnect().catch(() => undefined);
  }

  async #commit(requests: readonly TopicMessages[][], offset: bigint, metadata: string): Promise<void> {
    if (!this.#held) throw new ClaimEnded(`partition ${this.partition} was given up`);
    const { producer, groupId, topic, partition } = this.#parts;
    let transaction: Transaction | undefined;
    try {
      transaction = this.#next ?? (await producer.transaction());
      this.#next = undefined;
      for (const topicMessages of requests) await transaction.sendBatch({ acks: -1, topicMessages });
      // kafkajs sends the metadata, but its types leave them out.
      const position: PartitionOffset & { metadata: string } = { partition, offset: String(offset), metadata };
      await sendOffsets(transaction, { consumerGroupId: groupId, topics: [{ topic, partitions: [position] }] });
      await transaction.commit();
      this.metadata = metadata;
    } catch (error) {
      this.#fail(transaction, error);
    }
  }

  #fail(transaction: Transaction | undefined, error: unknown): never {
    const wasHeld = this.#held;
    this.#held = false;
    const fenced = isFenced(error);
    // For the readers that wait behind it; the next claim would end it as well.
    const ended = !fenced && transaction?.isActive() === true ? transaction.abort() : Promise.resolve();
    this.#forget();
    const { producer, partition } = this.#parts;
    ended
      .catch(() => undefined)
      .then(() => producer.disconnect())
      .catch(() => undefined);
    if (!fenced && !isRetriable(error)) throw error;
    if (wasHeld) this.onLost(error, fenced);
    throw new ClaimEnded(`the transaction of partition ${partition} was not committed: ${messageOf(error)}`);
  }
}
