/**
 * The way out: released frames are written in order and acknowledged once durable, one delivery at a time. Frames with
 * a claim go partition by partition, side by side, each delivery a transaction that waits to span many of them; what
 * is released while a write is under way, or sooner than the sink's interval allows on average, goes into the next one.
 */
import { ClaimEnded } from '../errors.js';
import type { LedgerSection } from '../ledger/entry.js';
import type { Sink } from '../sink/sink.js';
import type { Claim } from '../source/source.js';
import type { Happenings } from '../telemetry/happenings.js';
import { decidingPaths, type FrameInFlight } from './frame-in-flight.js';

/** What makes a transaction full, whichever comes first. */
export interface TransactionLimits {
  /** How long its first frame waits for others [ms]. */
  readonly intervalMs: number;
  readonly maxFrames: number;
  /** Of accepted events and dead letters [bytes]. */
  readonly maxBytes: number;
}

/** Accepted events and dead letters of one delivery at most, unless a single frame has more. */
const MAX_DELIVERY_ITEMS = 10_000;

/** Frames of one entry of the ledger at most: about 75 bytes each, in a message that brokers take. */
const MAX_SECTION_FRAMES = 4096;

/** Writes without a claim that may follow one another at once after a pause, before the sink's interval holds. */
export const BURST_WRITES = 8;

const AT_ONCE: TransactionLimits = { intervalMs: 0, maxFrames: Infinity, maxBytes: Infinity };

/** Frames that leave one after the other: those of one claim, or all that have none. */
interface Queue {
  readonly claim: Claim | undefined;
  readonly frames: FrameInFlight[];
  bytes: number;
  writing: boolean;
  timer: NodeJS.Timeout | undefined;
  /** When the first of the frames came [ms]. */
  since: number;
}

export class Deliveries {
  readonly #sink: Sink;
  readonly #happenings: Happenings;
  readonly #finished: (frame: FrameInFlight) => void;
  readonly #relinquished: (frame: FrameInFlight) => void;
  readonly #failed: (error: unknown) => void;
  readonly #transactions: TransactionLimits;
  readonly #queues = new Map<Claim | undefined, Queue>();
  /** When the next write without a claim would begin, were they all an interval apart [ms]. */
  #nextWrite = -Infinity;
  #ending = false;
  #broken = false;

  constructor(
    sink: Sink,
    happenings: Happenings,
    finished: (frame: FrameInFlight) => void,
    relinquished: (frame: FrameInFlight) => void,
    failed: (error: unknown) => void,
    transactions: TransactionLimits = AT_ONCE,
  ) {
    this.#sink = sink;
    this.#happenings = happenings;
    this.#finished = finished;
    this.#relinquished = relinquished;
    this.#failed = failed;
    this.#transactions = transactions;
  }

  add(frame: FrameInFlight): void {
    const { claim } = frame.record;
    let queue = this.#queues.get(claim);
    if (queue === undefined) {
      queue = { claim, frames: [], bytes: 0, writing: false, timer: undefined, since: 0 };
      this.#queues.set(claim, queue);
    }
    if (queue.frames.length === 0) queue.since = performance.now();
    queue.frames.push(frame);
    queue.bytes += frame.heldBytes;
    this.#proceed(queue);
  }

  /** No more frames than are under way will come: nothing waits for others any longer. */
  end(): void {
    this.#ending = true;
    for (const queue of this.#queues.values()) this.#proceed(queue);
  }

  /** Write what is due, or see to it that it will be. */
  #proceed(queue: Queue): void {
    while (queue.frames.length > 0 && !queue.writing && !this.#broken) {
      if (queue.claim === undefined) this.#passEmpty(queue);
      const waitMs = this.#waitMs(queue);
      if (waitMs > 0) {
        queue.timer ??= setTimeout(() => {
          queue.timer = undefined;
          this.#proceed(queue);
        }, waitMs);
        return;
      }
      clearTimeout(queue.timer);
      queue.timer = undefined;
      if (queue.frames.length > 0) this.#deliver(queue, this.#take(queue));
    }
    if (queue.frames.length === 0 && !queue.writing) this.#queues.delete(queue.claim);
  }

  /** Frames that nothing came of, and that no others are before, are finished without a write. */
  #passEmpty(queue: Queue): void {
    const first = queue.frames.findIndex(
      ({ accepted, deadLetters, digest }) => accepted.length + deadLetters.length > 0 || digest !== undefined,
    );
    const empty = queue.frames.splice(0, first === -1 ? queue.frames.length : first);
    for (const frame of empty) queue.bytes -= frame.heldBytes;
    empty.forEach(this.#finished);
  }

  #waitMs({ claim, frames, bytes, since }: Queue): number {
    if (claim === undefined) {
      if (frames.length === 0 || this.#ending) return 0;
      const creditMs = (BURST_WRITES - 1) * (this.#sink.writeIntervalMs ?? 0);
      return this.#nextWrite - creditMs - performance.now();
    }
    const { intervalMs, maxFrames, maxBytes } = this.#transactions;
    if (!claim.held || this.#ending || frames.length >= maxFrames || bytes >= maxBytes) return 0;
    return since + intervalMs - performance.now();
  }

  #deliver(queue: Queue, frames: readonly FrameInFlight[]): void {
    const { claim } = queue;
    if (claim?.held === false) {
      frames.forEach(this.#relinquished);
      return;
    }
    const accepted = frames.flatMap((frame) => frame.accepted);
    const deadLetters = frames.flatMap((frame) => frame.deadLetters);
    const ledger = ledgerOf(frames);
    queue.writing = true;
    const start = performance.now();
    if (claim === undefined) this.#nextWrite = Math.max(this.#nextWrite, start) + (this.#sink.writeIntervalMs ?? 0);
    this.#sink.write({ accepted, deadLetters, claim, last: frames.at(-1)!.record.position, ledger }).then(
      () => {
        queue.writing = false;
        this.#happenings.delivered(performance.now() - start);
        frames.forEach(this.#finished);
        this.#proceed(queue);
      },
      (error: unknown) => {
        queue.writing = false;
        if (error instanceof ClaimEnded) {
          frames.forEach(this.#relinquished);
          this.#proceed(queue);
          return;
        }
        this.#broken = true;
        this.#failed(error);
      },
    );
  }

  /** The next frames in order, as many as make one delivery. */
  #take(queue: Queue): FrameInFlight[] {
    const { maxFrames, maxBytes } = queue.claim === undefined ? AT_ONCE : this.#transactions;
    let items = 0;
    let bytes = 0;
    let count = 0;
    for (const frame of queue.frames) {
      items += frame.accepted.length + frame.deadLetters.length + (frame.digest === undefined ? 0 : 1);
      bytes += frame.heldBytes;
      if (count > 0 && (items > MAX_DELIVERY_ITEMS || count >= maxFrames || bytes > maxBytes)) break;
      count++;
    }
    const taken = queue.frames.splice(0, count);
    for (const frame of taken) queue.bytes -= frame.heldBytes;
    queue.since = performance.now();
    return taken;
  }
}

/** Partition by partition; empty where there is no ledger. */
function ledgerOf(frames: readonly FrameInFlight[]): LedgerSection[] {
  const parts: FrameInFlight[][] = [];
  const open = new Map<number, FrameInFlight[]>();
  for (const frame of frames) {
    if (frame.digest === undefined) continue;
    const { partition } = frame.record.position;
    let part = open.get(partition);
    if (part === undefined || part.length === MAX_SECTION_FRAMES) {
      part = [];
      open.set(partition, part);
      parts.push(part);
    }
    part.push(frame);
  }
  return parts.map((part) => {
    const { source, partition } = part[0]!.record.position;
    const menus = new Set(part.map(({ menu }) => menu));
    return {
      source,
      partition,
      frames: part.map(({ record, menu, accepted, deadLetters, digest, input }) => ({
        offset: record.position.offset,
        menu: menu.generation,
        accepted: accepted.length,
        faults: deadLetters.length,
        digest: digest!,
        input: input!,
      })),
      paths: [...menus].flatMap((menu) => decidingPaths(menu).map((path) => ({ ...path, menu: menu.generation }))),
    };
  });
}
