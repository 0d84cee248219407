/**
 * Frames from a Kafka topic, as a member of a consumer group; of transactions, only what was committed. At least once:
 * an offset is committed only when everything before it in its partition is finished, so whatever was in flight at a
 * crash is read again. Exactly once, with claims: the sink's transactions commit the offsets, and a partition is read
 * only after it was claimed, from the offset that was committed by then.
 */
import type { Admin, Consumer, ConsumerCrashEvent, EachBatchPayload, OffsetsByTopicPartition } from 'kafkajs';

import { messageOf, TriggerError } from '../errors.js';
import {
  brokerError,
  connectAdmin,
  createKafka,
  isRetriable,
  protocolErrorType,
  type KafkaConnection,
} from '../kafka/client.js';
import type { PartitionClaims } from '../kafka/partition-claims.js';
import { requireTopics } from '../kafka/topics.js';
import type { Happenings } from '../telemetry/happenings.js';
import { KafkaRecord, Lease } from './kafka-lease.js';
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
  readonly sessionTimeoutMs?: number;
  /** How long a cluster that was reached before may be away until `run` rejects. Default: 60 000. */
  readonly outageLimitMs?: number;
}

/** How long the broker holds back the answer to a fetch that finds nothing; also what a stop may have to wait. */
const FETCH_WAIT_MS = 250;

/** How long a member that has to rejoin its group first waits for its frames in flight, so that few are read twice. */
const DRAIN_BEFORE_REJOIN_MS = 2_000;

/** Between attempts to claim a partition [ms]. */
const CLAIM_RETRY_MS = 500;

/** Why `run` ends. */
type Outcome = 'ended' | TriggerError;

export class KafkaSource implements Source {
  readonly name: string;
  readonly #options: KafkaSourceOptions;
  readonly #topic: string;
  readonly #heartbeatMs: number;
  readonly #leases = new Map<number, Lease>();
  /** End of each partition when the source was started; only with stopAtEnd. */
  readonly #ends = new Map<number, bigint>();
  readonly #outcome: Promise<Outcome>;
  #settle!: (outcome: Outcome) => void;
  #ended = false;

  #admin: Admin | undefined;
  #consumer: Consumer | undefined;
  #intake!: Intake;
  #memberId: string | undefined;
  /** kafkajs has joined the group: before that it cannot be paused. */
  #consuming = false;
  #crashed = false;
  #lastReached = 0;
  /** Resolves to whether the stream has room again; kept across batches, because a rejoin may cut a wait short. */
  #room: Promise<boolean> | undefined;
  #offeredSinceIdle = false;
  #handledBatch = false;
  #lastBeat = 0;
  #commitOnce: ((offsets: OffsetsByTopicPartition) => Promise<void>) | undefined;
  #commitTimer: NodeJS.Timeout | undefined;
  #committing: Promise<void> = Promise.resolve();
  /** When transactions began to fail; undefined while they succeed. */
  #failingSince: number | undefined;
  /** Called at the next sign that the group still knows this member. */
  #onHeartbeat: (() => void)[] = [];

  constructor(options: KafkaSourceOptions) {
    this.#options = options;
    this.#topic = options.topic;
    this.#heartbeatMs = Math.min(3_000, (options.sessionTimeoutMs ?? 30_000) / 3);
    this.name = `kafka:${options.topic}`;
    this.#outcome = new Promise((resolve) => {
      this.#settle = (outcome) => {
        this.#ended = true;
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
      if (this.#consuming && !this.#crashed) this.#consumer?.pause([{ topic: this.#topic }]);
      if (outcome !== 'ended') throw outcome;
    } finally {
      stop.removeEventListener('abort', onStop);
    }
  }

  finished(record: SourceRecord): void {
    if (!(record instanceof KafkaRecord)) return;
    // Also for a lease that has ended since: it is in no list of leases any more, so it is never committed.
    const { lease, position } = record;
    lease.inFlight--;
    lease.finished = position.offset + 1n;
    if (lease.claim === undefined) return;
    lease.committed = lease.finished;
    this.#failingSince = undefined;
    this.#checkEnd();
  }

  async close(): Promise<void> {
    clearInterval(this.#commitTimer);
    await this.#commit();
    for (const client of [this.#consumer, this.#admin]) {
      await client?.disconnect().catch((error: unknown) => {
        this.#options.happenings.log.debug({ reason: messageOf(error) }, 'Kafka connection did not close cleanly');
      });
    }
  }

  async #open(): Promise<void> {
    const { connection, groupId, happenings, fromBeginning = true, maxFetchBytes = 8 * 1024 * 1024 } = this.#options;
    const kafka = createKafka(connection, happenings.log);
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
      sessionTimeout: this.#options.sessionTimeoutMs ?? 30_000,
      retry: {
        initialRetryTime: 200,
        maxRetryTime: 5_000,
        retries: 5,
        restartOnFailure: () => Promise.resolve(this.#mayRestart()),
      },
    });
    this.#consumer = consumer;
    const { GROUP_JOIN, HEARTBEAT, REBALANCING, CRASH, FETCH_START, FETCH, END_BATCH_PROCESS } = consumer.events;
    consumer.on(GROUP_JOIN, ({ payload }) => {
      this.#assign(payload.memberId, payload.memberAssignment[this.#topic] ?? []);
    });
    consumer.on(HEARTBEAT, () => {
      for (const resolve of this.#onHeartbeat.splice(0)) resolve();
    });
    consumer.on(REBALANCING, () => void this.#commit());
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
    this.#commitTimer = setInterval(() => void this.#commit(), this.#options.commitIntervalMs ?? 1_000);
  }

  /**
   * A new generation of the group. The same member id says that the group never gave this member up, so partitions
   * that it keeps go on where they are; for all others whatever was in flight is somebody else's to read again.
   */
  #assign(memberId: string, partitions: readonly number[]): void {
    const { happenings } = this.#options;
    const kept = memberId === this.#memberId ? new Map(this.#leases) : new Map<number, Lease>();
    this.#memberId = memberId;
    const lost = [...this.#leases.keys()].filter((partition) => !partitions.includes(partition));
    for (const [partition, { claim }] of this.#leases) {
      if (!partitions.includes(partition) || !kept.has(partition)) void claim?.end('partition revoked');
    }
    this.#leases.clear();
    for (const partition of partitions) {
      const lease = kept.get(partition);
      this.#leases.set(partition, lease ?? new Lease(partition));
      if (lease === undefined) this.#claim(this.#leases.get(partition)!);
      else if (lease.next !== undefined) this.#seek(lease);
    }
    happenings.consumerAssigned(this.#topic, partitions);
    if (lost.length > 0) happenings.consumerRevoked(this.#topic, lost);
    if (this.#options.stopAtEnd === true && this.#options.claims === undefined) {
      this.#locate().catch((error: unknown) => {
        this.#settle(brokerError(`cannot find where group ${this.#options.groupId} stands`, error));
      });
    }
  }

  /** Where partitions begin that no record may ever come from, being empty or read already. */
  async #locate(...only: readonly Lease[]): Promise<void> {
    const { groupId, fromBeginning = true } = this.#options;
    const among = only.length > 0 ? only : [...this.#leases.values()];
    const leases = among.filter(({ next }) => next === undefined);
    if (leases.length > 0) {
      const [bounds, committed] = await Promise.all([
        this.#admin!.fetchTopicOffsets(this.#topic),
        this.#admin!.fetchOffsets({ groupId, topics: [this.#topic] }),
      ]);
      for (const lease of leases) {
        const bound = bounds.find(({ partition }) => partition === lease.partition);
        if (bound === undefined) continue;
        const stored = committed[0]?.partitions.find(({ partition }) => partition === lease.partition);
        const start = BigInt(stored?.offset ?? -1);
        const first = BigInt(fromBeginning ? bound.low : bound.high);
        lease.next ??= start < 0n ? first : start < BigInt(bound.low) ? BigInt(bound.low) : start;
        lease.committed = start;
        if (lease.claim !== undefined) lease.claim.metadata = stored?.metadata ?? '';
      }
    }
    this.#checkEnd();
  }

  #seek({ partition, next }: Lease): void {
    this.#consumer?.seek({ topic: this.#topic, partition, offset: String(next) });
  }

  #isCurrent(lease: Lease): boolean {
    return !this.#ended && this.#leases.get(lease.partition) === lease;
  }

  /** Exactly once: keep a new lease from being read until it is claimed. */
  #claim(lease: Lease): void {
    const { claims } = this.#options;
    if (claims === undefined) return;
    this.#consumer?.pause([{ topic: this.#topic, partitions: [lease.partition] }]);
    this.#claimAndLocate(lease, claims).catch((error: unknown) => {
      if (!this.#isCurrent(lease)) return;
      this.#settle(brokerError(`cannot claim partition ${lease.partition} of ${this.#topic}`, error));
    });
  }

  /**
   * The order is what makes it exact: the claim ends every transaction of the partition's holder before, and only then
   * the committed offset is asked for, which for kafkajs may be one that an open transaction is about to change.
   */
  async #claimAndLocate(lease: Lease, claims: PartitionClaims): Promise<void> {
    const { partition } = lease;
    const since = performance.now();
    while (this.#isCurrent(lease)) {
      try {
        const claim = await claims.claim(partition);
        claim.onLost = (reason, fenced) => {
          this.#lose(lease, reason, fenced);
        };
        lease.claim = claim;
        if (this.#isCurrent(lease)) await this.#locate(lease);
        if (!this.#isCurrent(lease)) {
          await claim.end('partition revoked');
          return;
        }
        this.#seek(lease);
        this.#consumer?.resume([{ topic: this.#topic, partitions: [partition] }]);
        return;
      } catch (error) {
        await lease.claim?.end('no offset to begin at');
        if (!isRetriable(error) || this.#isOutOfPatience(since)) throw error;
        this.#options.happenings.claimFailed(this.#topic, partition, messageOf(error));
        await new Promise((resolve) => setTimeout(resolve, CLAIM_RETRY_MS));
      }
    }
  }

  /**
   * A claim ended by itself. If the group still counts the partition as this member's, which a heartbeat tells, it is
   * claimed anew and read again from what is committed; else the rebalance that is due takes it away. Claiming at once
   * would have two members fence one another in turn.
   */
  #lose(lease: Lease, reason: unknown, fenced: boolean): void {
    this.#options.happenings.claimLost(this.#topic, lease.partition, fenced, messageOf(reason));
    if (!this.#isCurrent(lease)) return;
    if (!fenced && this.#isOutOfPatience((this.#failingSince ??= performance.now()))) {
      this.#settle(brokerError(`transactions of partition ${lease.partition} of ${this.#topic} fail`, reason));
      return;
    }
    const fresh = new Lease(lease.partition);
    this.#leases.set(lease.partition, fresh);
    this.#consumer?.pause([{ topic: this.#topic, partitions: [lease.partition] }]);
    this.#onHeartbeat.push(() => {
      if (this.#isCurrent(fresh)) this.#claim(fresh);
    });
  }

  #isOutOfPatience(since: number): boolean {
    return performance.now() - since > (this.#options.outageLimitMs ?? 60_000);
  }

  async #consume(payload: EachBatchPayload): Promise<void> {
    const { batch } = payload;
    this.#handledBatch = true;
    this.#commitOnce = (offsets) => payload.commitOffsetsIfNecessary(offsets);
    const lease = this.#leases.get(batch.partition);
    if (lease === undefined || this.#ended || payload.isStale() || !this.#isReadable(lease)) return;
    for (const message of batch.messages) {
      if (!(await this.#hasRoom(payload)) || this.#leases.get(batch.partition) !== lease) return;
      const offset = BigInt(message.offset);
      // A fetch that was retried begins again where the last whole batch ended.
      if (lease.next !== undefined && offset < lease.next) continue;
      if (this.#isPastEnd(batch.partition, offset)) break;
      this.#offer(new KafkaRecord(lease, this.#topic, offset, message));
    }
    payload.resolveOffset(batch.messages.at(-1)!.offset);
    lease.next = BigInt(batch.lastOffset()) + 1n;
    this.#options.happenings.consumerLag(this.#topic, batch.partition, Number(batch.offsetLag()));
    this.#checkEnd();
  }

  /** A batch may have been fetched before its partition was lost and paused. */
  #isReadable({ next }: Lease): boolean {
    return this.#options.claims === undefined || next !== undefined;
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
      let timer: NodeJS.Timeout | undefined;
      const beat = new Promise<'beat'>((resolve) => {
        timer = setTimeout(resolve, this.#heartbeatMs, 'beat');
      });
      const outcome = await Promise.race([this.#room, this.#outcome, beat]);
      clearTimeout(timer);
      if (outcome === 'beat') await this.#beat(payload);
      else if (outcome === true) this.#room = undefined;
      else this.#settle('ended');
    }
    return !this.#ended;
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
    const busy = (): boolean => [...this.#leases.values()].some(({ inFlight }) => inFlight > 0);
    while (busy() && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
    await this.#commit();
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
    const lease = this.#leases.get(partition);
    if (handled || lease === undefined || this.#ended || !this.#isReadable(lease)) return;
    if (lease.next === undefined || lease.next <= lastOffset) lease.next = lastOffset + 1n;
    this.#checkEnd();
  }

  #isPastEnd(partition: number, offset: bigint): boolean {
    const end = this.#ends.get(partition);
    return end !== undefined && offset >= end;
  }

  #checkEnd(): void {
    if (this.#options.stopAtEnd !== true) return;
    const leases = [...this.#leases.values()];
    // With claims also committed: what a failed transaction gives back is to be read again before the end.
    const atEnd = leases.every(
      ({ partition, next, claim, inFlight }) =>
        next !== undefined && next >= (this.#ends.get(partition) ?? 0n) && (claim === undefined || inFlight === 0),
    );
    if (atEnd) this.#settle('ended');
  }

  /** One commit at a time, each of what is finished when its turn comes. Never throws. */
  #commit(): Promise<void> {
    this.#committing = this.#committing.then(() => this.#commitFinished());
    return this.#committing;
  }

  async #commitFinished(): Promise<void> {
    const due = [...this.#leases.values()].flatMap((lease) => {
      const offset = lease.committable;
      return offset === undefined || offset === lease.committed ? [] : [{ lease, offset }];
    });
    if (due.length === 0) return;
    if (this.#options.claims !== undefined) {
      await Promise.all(due.map(({ lease, offset }) => this.#commitGap(lease, offset)));
      return;
    }
    if (this.#crashed || this.#commitOnce === undefined) return;
    const partitions = due.map(({ lease, offset }) => ({ partition: lease.partition, offset: String(offset) }));
    try {
      // A single attempt, in the generation that these leases belong to: kafkajs' own commitOffsets would try again
      // in the next one, and commit partitions that are no longer ours.
      await this.#commitOnce({ topics: [{ topic: this.#topic, partitions }] });
      for (const { lease, offset } of due) lease.committed = offset;
    } catch (error) {
      this.#options.happenings.offsetCommitFailed(this.#topic, messageOf(error));
    }
  }

  /** Markers and gaps hold no frame that a transaction of the sink could carry on with. */
  async #commitGap(lease: Lease, offset: bigint): Promise<void> {
    if (lease.inFlight > 0 || lease.claim === undefined || offset <= (lease.committed ?? 0n)) return;
    try {
      await lease.claim.commit([], offset);
      lease.committed = offset;
    } catch (error) {
      this.#options.happenings.offsetCommitFailed(this.#topic, messageOf(error));
    }
  }

  #mayRestart(): boolean {
    return !this.#ended && performance.now() - this.#lastReached < (this.#options.outageLimitMs ?? 60_000);
  }

  #crash({ payload }: ConsumerCrashEvent): void {
    this.#commitOnce = undefined;
    if (payload.restart) return;
    this.#crashed = true;
    const { connection } = this.#options;
    this.#settle(brokerError(`reading topic ${this.#topic} at ${connection.brokers.join(', ')} failed`, payload.error));
  }
}
