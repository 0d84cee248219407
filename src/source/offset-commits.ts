/**
 * What a Kafka source commits by itself: at least once all that is finished, and exactly once what lies between
 * frames, which no transaction of the sink carries.
 */
import type { EachBatchPayload, OffsetsByTopicPartition } from 'kafkajs';

import { messageOf } from '../errors.js';
import type { Happenings } from '../telemetry/happenings.js';
import type { Lease } from './kafka-lease.js';

export class OffsetCommits {
  readonly #topic: string;
  readonly #isExactlyOnce: boolean;
  readonly #happenings: Happenings;
  readonly #leases: () => readonly Lease[];
  #commitOnce: ((offsets: OffsetsByTopicPartition) => Promise<void>) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #committing: Promise<void> = Promise.resolve();

  constructor(topic: string, isExactlyOnce: boolean, happenings: Happenings, leases: () => readonly Lease[]) {
    this.#topic = topic;
    this.#isExactlyOnce = isExactlyOnce;
    this.#happenings = happenings;
    this.#leases = leases;
  }

  start(intervalMs: number): void {
    this.#timer = setInterval(() => void this.commit(), intervalMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** The member is in the generation that this batch came in: commits may go out in it. */
  enter(payload: EachBatchPayload): void {
    this.#commitOnce = (offsets) => payload.commitOffsetsIfNecessary(offsets);
  }

  /** The member is in no generation. */
  leave(): void {
    this.#commitOnce = undefined;
  }

  /** One commit at a time, each of what is finished when its turn comes. Never throws. */
  commit(): Promise<void> {
    this.#committing = this.#committing.then(() => this.#commitFinished());
    return this.#committing;
  }

  async #commitFinished(): Promise<void> {
    const due = this.#leases().flatMap((lease) => {
      const offset = lease.committable;
      return offset === undefined || offset === lease.committed ? [] : [{ lease, offset }];
    });
    if (due.length === 0) return;
    if (this.#isExactlyOnce) {
      await Promise.all(due.map(({ lease, offset }) => this.#commitGap(lease, offset)));
      return;
    }
    if (this.#commitOnce === undefined) return;
    const partitions = due.map(({ lease, offset }) => ({ partition: lease.partition, offset: String(offset) }));
    try {
      // A single attempt, in the generation that these leases belong to: kafkajs' own commitOffsets would try again
      // in the next one, and commit partitions that are no longer ours.
      await this.#commitOnce({ topics: [{ topic: this.#topic, partitions }] });
      for (const { lease, offset } of due) lease.committed = offset;
    } catch (error) {
      this.#happenings.offsetCommitFailed(this.#topic, messageOf(error));
    }
  }

  /** Markers and gaps hold no frame that a transaction of the sink could carry on with. */
  async #commitGap(lease: Lease, offset: bigint): Promise<void> {
    if (lease.inFlight > 0 || lease.claim === undefined || offset <= (lease.committed ?? 0n)) return;
    try {
      await lease.claim.commit([], offset);
      lease.committed = offset;
    } catch (error) {
      this.#happenings.offsetCommitFailed(this.#topic, messageOf(error));
    }
  }
}
