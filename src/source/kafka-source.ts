/**
 * Frames from a Kafka topic, as a member of a consumer group; of transactions, only what was committed. At least once:
 * an offset is committed only when everything before it in its partition is finished, so whatever was in flight at a
 * crash is read again. Exactly once, with claims: the sink's transactions commit the offsets, and a partition is read
 * only after it was claimed, from the offset that was committed by then.
 */
import type { Admin, Consumer, ConsumerCrashEvent, EachBatchPayload, KafkaMessage } from 'kafkajs';

import { messageOf, TriggerError } from '../errors.js';
import { brokerError, connectAdmin, createKafka, protocolErrorType, type KafkaConnection } from '../kafka/client.js';
import type { FetchedRecord } from '../kafka/fetch-response.js';
import type { PartitionClaims } from '../kafka/partition-claims.js';
import { pooledSockets } from '../kafka/response-memory.js';
import { requireTopics } from '../kafka/topics.js';
import type { Happenings } from '../telemetry/happenings.js';
import { Assignment } from './kafka-assignment.js';
import { KafkaRecord } from './kafka-lease.js';
import { OffsetCommits } from './offset-commits.js';
import type { Intake, Source, SourceRecord } from './source.js';

export interface KafkaSourceOptions {
  readonly connection: KafkaConnection;
  readonly topic: string;
  readonly groupId: string;
  readonly happenings: Happenings;
  /** Read exactly once: what is finished was committed by a transaction of its claim. Default: at least once. */
  readonly claims?: PartitionClaims | undefined;
  /** Where to begin a partition in which the group has committed nothing: its start, or its end. Default: true. */
  readonly fromBeginning?: boolean;
  /** End once every partition is read up to where it ended when the source was started. Default: false. */
  readonly stopAtEnd?: boolean;
  /** Most that one fetch returns [bytes]. Default: 8 MiB; at 1 MiB kafkajs reads four times slower. */
  readonly maxFetchBytes?: number;
  /** Default: 1000. */
  readonly commitIntervalMs?: number;
  /** How long a member may be silent before its partitions go to others. Default: 30 000. */
  readonly sessionTimeoutMs?: number | undefined;
  /** How long a cluster that was reached before may be away until `run` rejects. Default: 60 000. */
  readonly outageLimitMs?: number;
}

/** How long the broker holds back the answer to a fetch that finds nothing; also what a stop may have to wait. */
const FETCH_WAIT_MS = 250;

/** How long a member that has to rejoin its group first waits for its frames in flight, so that few are read twice. */
const DRAIN_BEFORE_REJOIN_MS = 2_000;

/** Why `run` ends. */
type Outcome = 'ended' | TriggerError;

export class KafkaSource implements Source {
  readonly name: string;
  readonly #options: KafkaSourceOptions;
  readonly #topic: string;
  readonly #sessionTimeoutMs: number;
  readonly #heartbeatMs: number;
  readonly #outageLimitMs: number;
  /** End of each partition when the source was started; only with stopAtEnd. */
  readonly #ends = new Map<number, bigint>();
  readonly #commits: OffsetCommits;
  readonly #outcome: Promise<Outcome>;
  #settle!: (outcome: Outcome) => void;
  #stopWaiting: () => void = () => undefined;
  #ended = false;

  #admin: Admin | undefined;
  #consumer: Consumer | undefined;
  #assignment: Assignment | undefined;
  #intake!: Intake;
  /** kafkajs has joined the group: before that it cannot be paused. */
  #consuming = false;
  #crashed = false;
  #lastReached = 0;
  /** Resolves to whether the stream has room again; kept across batches, because a rejoin may cut a wait short. */
  #room: Promise<boolean> | undefined;
  #offeredSinceIdle = false;
  #handledBatch = false;
  #lastBeat = 0;

  constructor(options: KafkaSourceOptions) {
    this.#options = options;
    this.#topic = options.topic;
    this.#sessionTimeoutMs = options.sessionTimeoutMs ?? 30_000;
    this.#heartbeatMs = Math.min(3_000, this.#sessionTimeoutMs / 3);
    this.#outageLimitMs = options.outageLimitMs ?? 60_000;
    this.name = `kafka:${options.topic}`;
    this.#commits = new OffsetCommits(
      options.topic,
      options.claims !== undefined,
      options.happenings,
      () => this.#assignment?.leases ?? [],
    );
    this.#outcome = new Promise((resolve) => {
      this.#settle = (outcome) => {
        this.#ended = true;
        this.#stopWaiting();
        resolve(outcome);
      };
    });
  }

  async run(intake: Intake, stop: AbortSignal): Promise<void> {
    this.#intake = intake;
    const onStop = (): void => {
      this.#settle('ended');
    };
    if (stop.aborted) return;
    stop.addEventListener('abort', onStop, { once: true });
    try {
      await this.#open();
      const outcome = await this.#outcome;
      this.#idle();
      // Stay a member until close, so that what is in flight can still be committed, but fetch no more.
      if (this.#consuming && !this.#crashed) this.#assignment?.rest();
      if (outcome !== 'ended') throw outcome;
    } finally {
      stop.removeEventListener('abort', onStop);
    }
  }

  finished(record: SourceRecord): void {
    if (!(record instanceof KafkaRecord)) return;
    // Also for a lease that has ended since: it is in no list of leases any more, so it is never committed.
    record.letGo();
    const { lease, position } = record;
    lease.inFlight--;
    lease.finished = position.offset + 1n;
    if (lease.claim === undefined) return;
    lease.committed = lease.finished;
    this.#assignment?.transactionSucceeded();
    this.#checkEnd();
  }

  async close(): Promise<void> {
    this.#commits.stop();
    await this.#commits.commit();
    for (const client of [this.#consumer, this.#admin]) {
      await client?.disconnect().catch((error: unknown) => {
        this.#options.happenings.log.debug({ reason: messageOf(error) }, 'Kafka connection did not close cleanly');
      });
    }
  }

  async #open(): Promise<void> {
    const { connection, groupId, happenings, fromBeginning = true, maxFetchBytes = 8 * 1024 * 1024 } = this.#options;
    const kafka = createKafka(connection, happenings.log, { socketFactory: pooledSockets() });
    const admin = await connectAdmin(kafka, connection);
    this.#admin = admin;
    await requireTopics(admin, [this.#topic], `at ${connection.brokers.join(', ')}; input topics are never created`);
    this.#lastReached = performance.now();
    const consumer = kafka.consumer({
      groupId,
      allowAutoTopicCreation: false,
      maxBytes: maxFetchBytes,
      maxBytesPerPartition: maxFetchBytes,
      maxWaitTimeInMs: FETCH_WAIT_MS,
      heartbeatInterval: this.#heartbeatMs,
      sessionTimeout: this.#sessionTimeoutMs,
      retry: {
        initialRetryTime: 200,
        maxRetryTime: 5_000,
        retries: 5,
        restartOnFailure: () => Promise.resolve(this.#mayRestart()),
      },
    });
    this.#consumer = consumer;
    const assignment = this.#assignTo(admin, consumer);
    this.#assignment = assignment;
    const { GROUP_JOIN, HEARTBEAT, REBALANCING, CRASH, FETCH_START, FETCH, END_BATCH_PROCESS } = consumer.events;
    consumer.on(GROUP_JOIN, ({ payload }) => {
      assignment.assign(payload.memberId, payload.memberAssignment[this.#topic] ?? []);
    });
    consumer.on(HEARTBEAT, () => {
      assignment.heartbeat();
    });
    consumer.on(REBALANCING, () => void this.#commits.commit());
    consumer.on(CRASH, (event) => {
      this.#crash(event);
    });
    consumer.on(FETCH_START, () => {
      this.#idle();
    });
    consumer.on(FETCH, () => {
      this.#lastReached = performance.now();
    });
    consumer.on(END_BATCH_PROCESS, ({ payload }) => {
      this.#passBatch(payload.partition, BigInt(payload.lastOffset));
    });
    try {
      if (this.#options.stopAtEnd === true) {
        for (const { partition, high } of await admin.fetchTopicOffsets(this.#topic)) {
          this.#ends.set(partition, BigInt(high));
        }
      }
      await consumer.connect();
      await consumer.subscribe({ topic: this.#topic, fromBeginning });
      if (this.#ended) return;
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        // One batch at a time: the intake takes one record after another, and each batch waits for its room.
        partitionsConsumedConcurrently: 1,
        eachBatch: (payload) => this.#consume(payload),
      });
      this.#consuming = true;
    } catch (error) {
      throw brokerError(`cannot read topic ${this.#topic}`, error);
    }
    this.#commits.start(this.#options.commitIntervalMs ?? 1_000);
  }

  #assignTo(admin: Admin, consumer: Consumer): Assignment {
    const { groupId, happenings, claims, fromBeginning = true, stopAtEnd = false } = this.#options;
    return new Assignment({
      topic: this.#topic,
      groupId,
      happenings,
      claims,
      fromBeginning,
      stopAtEnd,
      outageLimitMs: this.#outageLimitMs,
      admin,
      consumer,
      isEnded: () => this.#ended,
      onLocated: () => {
        this.#checkEnd();
      },
      onFailure: (error) => {
        this.#settle(error);
      },
    });
  }

  async #consume(payload: EachBatchPayload): Promise<void> {
    const { batch } = payload;
    this.#handledBatch = true;
    this.#commits.enter(payload);
    const assignment = this.#assignment!;
    const lease = assignment.lease(batch.partition);
    if (lease === undefined || this.#ended || payload.isStale() || !assignment.isReadable(lease)) return;
    const messages = batch.messages as readonly KafkaMessage[] as readonly FetchedRecord[];
    // All of them lie in one response, whose memory may be used again when nobody holds it.
    const block = messages[0]!.block?.hold();
    try {
      for (const message of messages) {
        if (!(await this.#hasRoom(payload)) || assignment.lease(batch.partition) !== lease) return;
        const offset = BigInt(message.offset);
        // A fetch that was retried begins again where the last whole batch ended.
        if (lease.next !== undefined && offset < lease.next) continue;
        if (this.#isPastEnd(batch.partition, offset)) break;
        this.#offer(new KafkaRecord(lease, this.#topic, offset, message));
      }
    } finally {
      block?.release();
    }
    payload.resolveOffset(messages.at(-1)!.offset);
    lease.next = BigInt(batch.lastOffset()) + 1n;
    this.#options.happenings.consumerLag(this.#topic, batch.partition, Number(batch.offsetLag()));
    this.#checkEnd();
  }

  #offer(record: KafkaRecord): void {
    record.lease.next = record.position.offset + 1n;
    record.lease.inFlight++;
    this.#offeredSinceIdle = true;
    try {
      this.#room = this.#intake.offer(record)?.then(
        () => true,
        () => false,
      );
    } catch (error) {
      this.#settle(new TriggerError('BROKER_FAILED', `${this.name}: ${messageOf(error)}`, { cause: error }));
    }
  }

  /** Wait until a record may be offered, staying a member meanwhile; false where none may be any more. */
  async #hasRoom(payload: EachBatchPayload): Promise<boolean> {
    if (performance.now() - this.#lastBeat > this.#heartbeatMs) await this.#beat(payload);
    while (this.#room !== undefined && !this.#ended) {
      const outcome = await this.#roomOrBeat(this.#room);
      if (outcome === 'beat') await this.#beat(payload);
      else if (outcome) this.#room = undefined;
      else this.#settle('ended');
    }
    return !this.#ended;
  }

  /** Not a race with the outcome, which would remember every wait until the source ends. */
  #roomOrBeat(room: Promise<boolean>): Promise<boolean | 'beat'> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#heartbeatMs, 'beat');
      this.#stopWaiting = () => {
        clearTimeout(timer);
        resolve(false);
      };
      void room.then((hasRoom) => {
        clearTimeout(timer);
        resolve(hasRoom);
      });
    });
  }

  async #beat(payload: EachBatchPayload): Promise<void> {
    this.#lastBeat = performance.now();
    try {
      await payload.heartbeat();
    } catch (error) {
      if (protocolErrorType(error) === 'REBALANCE_IN_PROGRESS') await this.#drain();
      throw error;
    }
  }

  /** Before a rejoin: whatever is finished and committed by then nobody reads twice. */
  async #drain(): Promise<void> {
    this.#idle();
    const deadline = performance.now() + DRAIN_BEFORE_REJOIN_MS;
    const busy = (): boolean => this.#assignment!.leases.some(({ inFlight }) => inFlight > 0);
    while (busy() && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
    await this.#commits.commit();
  }

  #idle(): void {
    if (!this.#offeredSinceIdle) return;
    this.#offeredSinceIdle = false;
    this.#intake.idle();
  }

  /** After any batch; those that hold only transaction markers or aborted records come to nobody else's notice. */
  #passBatch(partition: number, lastOffset: bigint): void {
    const handled = this.#handledBatch;
    this.#handledBatch = false;
    const lease = this.#assignment!.lease(partition);
    if (handled || lease === undefined || this.#ended || !this.#assignment!.isReadable(lease)) return;
    if (lease.next === undefined || lease.next <= lastOffset) lease.next = lastOffset + 1n;
    this.#checkEnd();
  }

  #isPastEnd(partition: number, offset: bigint): boolean {
    const end = this.#ends.get(partition);
    return end !== undefined && offset >= end;
  }

  #checkEnd(): void {
    if (this.#options.stopAtEnd !== true || this.#assignment?.isMember !== true) return;
    const { leases } = this.#assignment;
    if (!leases.every(({ partition, next }) => next !== undefined && next >= (this.#ends.get(partition) ?? 0n))) return;
    // With claims also committed: what a failed transaction gives back is to be read again before the end.
    if (leases.every(({ claim, inFlight }) => claim === undefined || inFlight === 0)) this.#settle('ended');
    else {
      this.#idle();
      this.#intake.ending?.();
    }
  }

  #mayRestart(): boolean {
    return !this.#ended && performance.now() - this.#lastReached < this.#outageLimitMs;
  }

  #crash({ payload }: ConsumerCrashEvent): void {
    this.#commits.leave();
    this.#assignment?.leave();
    if (payload.restart) return;
    this.#crashed = true;
    const { connection } = this.#options;
    this.#settle(brokerError(`reading topic ${this.#topic} at ${connection.brokers.join(', ')} failed`, payload.error));
  }
}
