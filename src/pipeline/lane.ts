/**
 * The way of one menu through the workers: its pool, the slots of it that are free, and the batch being filled.
 */
import { slotCapacity } from '../score/messages.js';
import type { Menu } from '../score/menu.js';
import type { ScorePool } from '../score/score-pool.js';
import type { Encoding } from '../event/layout.js';
import { Batch } from './batch.js';
import type { PathTotals } from './stream-totals.js';

export class Lane {
  readonly pool: ScorePool;
  /** What every path of the menu adds to the totals of the stream. */
  readonly totals: readonly PathTotals[];
  /** The batch that takes events now. */
  batch: Batch | undefined;
  /** Sends a partly filled batch on. */
  delayTimer: NodeJS.Timeout | undefined;
  /** Batches with the workers. */
  running = 0;
  /** Frames that wait for a slot. */
  waitingFrames = 0;
  /** Partitions of which the menu has a frame. */
  readonly partitions = new Set<string>();
  readonly #freeSlots: number[];

  constructor(pool: ScorePool, totals: readonly PathTotals[]) {
    this.pool = pool;
    this.totals = totals;
    this.#freeSlots = pool.slots.map((_, slot) => slot);
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

  /** The results of a batch are taken: its slot may be filled again. */
  free(batch: Batch): void {
    this.#freeSlots.push(batch.slot);
  }
}
