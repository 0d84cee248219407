/**
 * The way of one menu through the workers: its pool, the slots of it that are free, and the batch being filled.
 */
import { slotCapacity } from '../score/messages.js';
import type { Menu } from '../score/menu.js';
import type { ScorePool } from '../score/score-pool.js';
import type { SourcePosition } from '../event/accepted-event.js';
import type { Encoding } from '../event/layout.js';
import { Batch } from './batch.js';
import type { PathTotals, StreamTotals } from './stream-totals.js';

export class Lane {
  readonly pool: ScorePool;
  /** The batch that takes events now. */
  batch: Batch | undefined;
  /** Sends a partly filled batch on. */
  delayTimer: NodeJS.Timeout | undefined;
  /** Batches with the workers. */
  running = 0;
  /** Frames that wait for a slot. */
  waitingFrames = 0;
  /** Partitions of which the menu has a frame. */
  readonly partitions = new Set<number>();
  /** Frames whose results are not durable yet. */
  unfinished = 0;
  /** By partition: the last frame that was given up, which may come again, and when that was [ms]. */
  readonly #givenUp = new Map<number, { readonly offset: bigint; readonly sinceMs: number }>();
  readonly #freeSlots: number[];
  // A closure here would hold whatever its place has in scope, and so one former menu after the other.
  readonly #stream: StreamTotals;
  #totals: readonly PathTotals[] | undefined;

  /** @param stream - what the menu's paths add to, once it decides: one that is refused adds to nothing */
  constructor(pool: ScorePool, stream: StreamTotals) {
    this.pool = pool;
    this.#stream = stream;
    this.#freeSlots = pool.slots.map((_, slot) => slot);
  }

  /** What every path of the menu adds to the totals of the stream. */
  get totals(): readonly PathTotals[] {
    return this.#totals ?? this.open();
  }

  /** Take the menu's paths into the totals. */
  open(): readonly PathTotals[] {
    return (this.#totals ??= this.#stream.open(this.menu));
  }

  get menu(): Menu {
    return this.pool.menu;
  }

  /** Whether everything that came this way is decided. */
  get drained(): boolean {
    return this.running === 0 && this.waitingFrames === 0 && this.batch === undefined;
  }

  /** An empty batch; undefined while all slots are under way. */
  newBatch(encoding: Encoding): Batch | undefined {
    const slot = this.#freeSlots.pop();
    if (slot === undefined) return undefined;
    const capacity = slotCapacity(this.pool.geometry, encoding);
    return new Batch(this.menu, slot, this.pool.slots[slot]!, encoding, capacity);
  }

  /** A frame's claim has ended: whoever reads it again decides it. */
  giveUp({ partition, offset }: SourcePosition): void {
    const before = this.#givenUp.get(partition)?.offset ?? offset;
    this.#givenUp.set(partition, { offset: before > offset ? before : offset, sinceMs: performance.now() });
  }

  /** The frame at a position is durable, and with it all before it in its partition, by whichever menu. */
  settle({ partition, offset }: SourcePosition): void {
    const last = this.#givenUp.get(partition);
    if (last !== undefined && offset >= last.offset) this.#givenUp.delete(partition);
  }

  /** Whether nothing that the menu has decided, or would have to decide again, is left. */
  retirable(patienceMs: number): boolean {
    if (!this.drained || this.unfinished > 0) return false;
    const now = performance.now();
    for (const { sinceMs } of this.#givenUp.values()) if (now - sinceMs < patienceMs) return false;
    return true;
  }

  /** The results of a batch are taken: its slot may be filled again. */
  free(batch: Batch): void {
    this.#freeSlots.push(batch.slot);
  }
}
