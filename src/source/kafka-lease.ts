/**
 * An input partition in the hands of this process, and the records read of it.
 */
import type { SourcePosition } from '../event/accepted-event.js';
import type { FetchedRecord } from '../kafka/fetch-response.js';
import type { PartitionClaim } from '../kafka/partition-claims.js';
import type { Block } from '../memory/block-pool.js';
import type { SourceRecord } from './source.js';

/** One partition, from its assignment to this member until it is taken away. */
export class Lease {
  readonly partition: number;
  /** The next offset to offer, once it is known. */
  next: bigint | undefined;
  /** One past the last record finished. */
  finished: bigint | undefined;
  committed: bigint | undefined;
  inFlight = 0;
  /** Exactly once: the right to publish, once the partition is claimed. */
  claim: PartitionClaim | undefined;

  constructor(partition: number) {
    this.partition = partition;
  }

  /** What may be committed: with nothing in flight, also past markers and gaps that hold no frame. */
  get committable(): bigint | undefined {
    return this.inFlight === 0 ? this.next : this.finished;
  }
}

export class KafkaRecord implements SourceRecord {
  readonly position: SourcePosition;
  bytes: Uint8Array | null;
  readonly availableUnixMs = undefined;
  readonly lease: Lease;
  /** What the bytes lie in, held until they are let go of. */
  #block: Block | undefined;

  constructor(lease: Lease, topic: string, offset: bigint, { value, block }: FetchedRecord) {
    this.lease = lease;
    this.position = { source: topic, partition: lease.partition, offset };
    this.bytes = value;
    this.#block = block?.hold();
  }

  get claim(): PartitionClaim | undefined {
    return this.lease.claim;
  }

  letGo(): void {
    this.bytes = null;
    this.#block?.release();
    this.#block = undefined;
  }
}
