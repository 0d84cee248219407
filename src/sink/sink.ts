/**
 * Contract of a sink: where accepted events and dead letters go.
 */
import type { AcceptedEvent, DeadLetter } from '../event/accepted-event.js';

/** What came of one or more frames, in source order. */
export interface Delivery {
  readonly accepted: readonly AcceptedEvent[];
  readonly deadLetters: readonly DeadLetter[];
}

export interface Sink {
  /** As it appears in logs: `kafka:l1.accepted`, or a path. */
  readonly name: string;

  /**
   * Write a delivery; resolves once it is durable, and rejects if it cannot be (retries are the sink's own).
   *
   * Calls come one at a time: the next delivery follows when this promise has settled. Ownership: the byte
   * arrays are views of source buffers and may be reused once the promise has settled.
   */
  write(delivery: Delivery): Promise<void>;

  /** Finish what is written and let go of everything. Called once, also after a rejected write. */
  close(): Promise<void>;
}
