/**
 * Contract of a source: where frames come from.
 */
import type { SourcePosition } from '../event/accepted-event.js';

/**
 * The right to publish what comes of a partition, of sources that can lose it: a sink of the same technology uses it
 * for transactions of accepted events and position together.
 */
export interface Claim {
  /** False once the partition is somebody else's: its records are read again there. */
  readonly held: boolean;
}

/** One serialised frame, as a source reads it. */
export interface SourceRecord {
  readonly position: SourcePosition;
  /** The frame's bytes; null for a message without value, which becomes a frame fault. */
  readonly bytes: Uint8Array | null;
  /**
   * When the frame became available to the stream [ms since the epoch], for sources whose frames were not
   * created live. Undefined: the frame's own created_unix_ns is the origin of its latency.
   */
  readonly availableUnixMs: number | undefined;
  /** The generated parton event of each event, where a recording knows it (see recording/recording.ts). */
  readonly sourceGroups?: Float64Array | undefined;
  /** What a transaction needs; only of sources that are read exactly once. */
  readonly claim?: Claim | undefined;
  /** The stream needs the bytes no longer, though the record is not finished. */
  letGo?(): void;
}

/** The side of the stream that a source feeds. */
export interface Intake {
  /**
   * Hand over one record.
   *
   * Ownership: `record.bytes` must not be written to until the record is finished. Backpressure: undefined means
   * taken; a promise means that the stream is full, and nothing more may be offered until it resolves. It
   * rejects when the stream has failed: the source then returns from `run`.
   * Order: records of one partition are decided, written and finished in the order they were offered.
   */
  offer(record: SourceRecord): Promise<void> | undefined;

  /** No further record is at hand right now: partly filled batches need not wait for more. */
  idle(): void;

  /**
   * All of the input has been offered, though some of it may be offered once more: transactions need not wait for
   * further frames. May be called several times.
   */
  ending?(): void;
}

export interface Source {
  /** As it appears in logs: `kafka:l1.frames`, or a path. */
  readonly name: string;

  /**
   * Offer records until the input ends or `stop` is aborted, then resolve: no record is offered after that.
   * Rejects when the input cannot be read on; records offered before are still finished.
   */
  run(intake: Intake, stop: AbortSignal): Promise<void>;

  /**
   * Acknowledgement: the record and all before it in its partition are decided, and what came of them is
   * durable. Called in offer order within a partition, also after `run` has resolved. Must not throw; a source
   * that commits positions does it at its own pace and never beyond this point. Records whose claim ended before
   * they were published are never finished.
   */
  finished(record: SourceRecord): void;

  /** Commit what is finished and let go of everything. Called once, after the last `finished`. */
  close(): Promise<void>;
}
