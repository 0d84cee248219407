/**
 * The partitions that the group has assigned to this member: a lease each, claimed and found its place before it is
 * read, until the group or another process takes it away.
 */
import type { Admin, Consumer } from 'kafkajs';

import { messageOf, type TriggerError } from '../errors.js';
import { brokerError, isRetriable } from '../kafka/client.js';
import type { PartitionClaims } from '../kafka/partition-claims.js';
import type { Happenings } from '../telemetry/happenings.js';
import { Lease } from './kafka-lease.js';

export interface AssignmentOptions {
  readonly topic: string;
  readonly groupId: string;
  readonly happenings: Happenings;
  /** Exactly once: what is finished is committed by a transaction of its claim. */
  readonly claims: PartitionClaims | undefined;
  readonly fromBeginning: boolean;
  /** Also find where partitions begin that no record may ever come from. */
  readonly stopAtEnd: boolean;
  /** How long claims and transactions may fail until the assignment does. */
  readonly outageLimitMs: number;
  readonly admin: Admin;
  readonly consumer: Consumer;
  /** Whether nothing is to be read any more. */
  readonly isEnded: () => boolean;
  /** Called when it is known where leases begin. */
  readonly onLocated: () => void;
  /** Called where going on is of no use. */
  readonly onFailure: (error: TriggerError) => void;
}

/** Between attempts to claim a partition [ms]. */
const CLAIM_RETRY_MS = 500;

export class Assignment {
  readonly #options: AssignmentOptions;
  readonly #leases = new Map<number, Lease>();
  #memberId: string | undefined;
  /** When transactions began to fail; undefined while they succeed. */
  #failingSince: number | undefined;
  /** Called at the next sign that the group still knows this member. */
  #onHeartbeat: (() => void)[] = [];

  constructor(options: AssignmentOptions) {
    this.#options = options;
  }

  get leases(): Lease[] {
    return [...this.#leases.values()];
  }

  lease(partition: number): Lease | undefined {
    return this.#leases.get(partition);
  }

  /** In a generation of the group; without, there is nothing to be at the end of. */
  get isMember(): boolean {
    return this.#memberId !== undefined;
  }

  /** A batch may have been fetched before its partition was lost and paused. */
  isReadable({ next }: Lease): boolean {
    return this.#options.claims === undefined || next !== undefined;
  }

  /**
   * A new generation of the group. The same member id says that the group never gave this member up, so partitions
   * that it keeps go on where they are; for all others whatever was in flight is somebody else's to read again.
   */
  assign(memberId: string, partitions: readonly number[]): void {
    const { topic, groupId, happenings, claims, stopAtEnd, onFailure } = this.#options;
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
    happenings.consumerAssigned(topic, partitions);
    if (lost.length > 0) happenings.consumerRevoked(topic, lost);
    if (stopAtEnd && claims === undefined) {
      this.#locate(this.leases).catch((error: unknown) => {
        onFailure(brokerError(`cannot find where group ${groupId} stands`, error));
      });
    }
  }

  /** kafkajs lost the group and will join it as another member, so all that was assigned is somebody's to read again. */
  leave(): void {
    const { topic, happenings } = this.#options;
    for (const { claim } of this.#leases.values()) void claim?.end('membership lost');
    if (this.#leases.size > 0) happenings.consumerRevoked(topic, [...this.#leases.keys()]);
    this.#leases.clear();
    this.#memberId = undefined;
  }

  /** Read no more, but stay a member. */
  rest(): void {
    const { topic, consumer } = this.#options;
    this.#steer(() => {
      consumer.pause([{ topic }]);
    });
  }

  /** The group still counts this member's partitions as its own. */
  heartbeat(): void {
    for (const resolve of this.#onHeartbeat.splice(0)) resolve();
  }

  /** A transaction has been committed. */
  transactionSucceeded(): void {
    this.#failingSince = undefined;
  }

  /** Where leases begin of which no record has come yet. */
  async #locate(among: readonly Lease[]): Promise<void> {
    const { topic, groupId, fromBeginning, admin, onLocated } = this.#options;
    const leases = among.filter(({ next }) => next === undefined);
    if (leases.length > 0) {
      const [bounds, committed] = await Promise.all([
        admin.fetchTopicOffsets(topic),
        admin.fetchOffsets({ groupId, topics: [topic] }),
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
    onLocated();
  }

  #seek({ partition, next }: Lease): void {
    const { topic, consumer } = this.#options;
    this.#steer(() => {
      consumer.seek({ topic, partition, offset: String(next) });
    });
  }

  #pause({ partition }: Lease): void {
    const { topic, consumer } = this.#options;
    this.#steer(() => {
      consumer.pause([{ topic, partitions: [partition] }]);
    });
  }

  #resume({ partition }: Lease): void {
    const { topic, consumer } = this.#options;
    this.#steer(() => {
      consumer.resume([{ topic, partitions: [partition] }]);
    });
  }

  /** kafkajs throws where it has just lost its group, a moment before it says so. */
  #steer(act: () => void): void {
    try {
      act();
    } catch {
      this.leave();
    }
  }

  #isCurrent(lease: Lease): boolean {
    return !this.#options.isEnded() && this.#leases.get(lease.partition) === lease;
  }

  /** Exactly once: keep a new lease from being read until it is claimed. */
  #claim(lease: Lease): void {
    const { topic, claims, onFailure } = this.#options;
    if (claims === undefined) return;
    this.#pause(lease);
    this.#claimAndLocate(lease, claims).catch((error: unknown) => {
      if (!this.#isCurrent(lease)) return;
      onFailure(brokerError(`cannot claim partition ${lease.partition} of ${topic}`, error));
    });
  }

  /**
   * The order is what makes it exact: the claim ends every transaction of the partition's holder before, and only then
   * the committed offset is asked for, which for kafkajs may be one that an open transaction is about to change.
   */
  async #claimAndLocate(lease: Lease, claims: PartitionClaims): Promise<void> {
    const { topic, happenings } = this.#options;
    const { partition } = lease;
    const since = performance.now();
    while (this.#isCurrent(lease)) {
      try {
        const claim = await claims.claim(partition);
        claim.onLost = (reason, fenced) => {
          this.#lose(lease, reason, fenced);
        };
        lease.claim = claim;
        if (this.#isCurrent(lease)) await this.#locate([lease]);
        if (!this.#isCurrent(lease)) {
          await claim.end('partition revoked');
          return;
        }
        this.#seek(lease);
        this.#resume(lease);
        return;
      } catch (error) {
        await lease.claim?.end('no offset to begin at');
        if (!isRetriable(error) || this.#isOutOfPatience(since)) throw error;
        happenings.claimFailed(topic, partition, messageOf(error));
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
    const { topic, happenings, onFailure } = this.#options;
    happenings.claimLost(topic, lease.partition, fenced, messageOf(reason));
    if (!this.#isCurrent(lease)) return;
    if (!fenced && this.#isOutOfPatience((this.#failingSince ??= performance.now()))) {
      onFailure(brokerError(`transactions of partition ${lease.partition} of ${topic} fail`, reason));
      return;
    }
    const fresh = new Lease(lease.partition);
    this.#leases.set(lease.partition, fresh);
    this.#pause(fresh);
    if (!this.#isCurrent(fresh)) return;
    this.#onHeartbeat.push(() => {
      if (this.#isCurrent(fresh)) this.#claim(fresh);
    });
  }

  #isOutOfPatience(since: number): boolean {
    return performance.now() - since > this.#options.outageLimitMs;
  }
}
