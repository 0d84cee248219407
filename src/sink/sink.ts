/**
 * Contract of a sink: where accepted events and dead letters go.
 */
import type { LedgerSection } from '../ledger/entry.js';
import type { AcceptedEvent, DeadLetter, SourcePosition } from '../event/accepted-event.js';

/** What came of one or more frames, in source order. */
export interface Delivery {
  readonly accepted: readonly AcceptedEvent[];
  readonly deadLetters: readonly DeadLetter[];
  /** The right to publish it, where the source has one (see source/source.ts): then all is of its partition. */
  readonly claim?: object | undefined;
  /** Position of the last frame: with a claim, all of the partition up to it is decided. */
  readonly last?: SourcePosition | undefined;
  /** What the ledger is to say of the frames; empty or undefined where there is none. With a claim, of one partition. */
  readonly ledger?: readonly LedgerSection[] | undefined;
}

export interface Sink {
  /** As it appears in logs: `kafka:l1.accepted`, or a path. */
  readonly name: string;

  /**
   * From the start of one write without a claim to the next [ms], on average over a few: what is released sooner goes
   * together, for sinks to which a write costs much. After a pause a few begin at once. Default: 0.
   */
  readonly writeIntervalMs?: number | undefined;

  /**
   * Write a delivery; resolves once it is durable, and rejects if it cannot be (retries are the sink's own).
   *
   * Calls come one at a time, for each claim: the next delivery follows when this promise has settled. Rejects with
   * ClaimEnded where the claim ended before anything became visible. Ownership: the byte
   * arrays are views of source buffers and may be reused once the promise has settled.
   */
  write(delivery: Delivery): Promise<void>;

  /**
   * The frame at `position` and all before it in its partition are decided, and what came of them was written; called
   * in that order, in the same turn of the event loop in which the write has settled. For sinks that keep the position
   * themselves.
   *
   * @param bytes - the frame as received; valid during the call
   */
  finished?(position: SourcePosition, bytes: Uint8Array | null): void;

  /** The stream has come to its end and everything is written: make the output a whole one. At most once. */
  complete?(): Promise<void>;

  /** Let go of everything. Called once, last, also after a rejected write. */
  close(): Promise<void>;
}
