/**
 * Puts frames back into source order: workers finish in any order, results leave in the order of the offers.
 */
import type { SourceRecord } from '../source/source.js';

/** Something that was offered at a place of a partition and is finished at some later time. */
export interface Ordered {
  readonly record: SourceRecord;
  done: boolean;
}

export class OrderedRelease<T extends Ordered> {
  readonly #queues = new Map<string, T[]>();

  /** Take a place behind everything of the same partition. */
  enter(item: T): void {
    const key = partitionKey(item);
    const queue = this.#queues.get(key);
    if (queue === undefined) this.#queues.set(key, [item]);
    else queue.push(item);
  }

  /** Remove and return the items that are done and have nothing unfinished before them, in order. */
  release(item: T): T[] {
    const queue = this.#queues.get(partitionKey(item));
    if (queue?.[0]?.done !== true) return [];
    const waiting = queue.findIndex((one) => !one.done);
    const released = queue.splice(0, waiting === -1 ? queue.length : waiting);
    if (queue.length === 0) this.#queues.delete(partitionKey(item));
    return released;
  }
}

function partitionKey({ record }: Ordered): string {
  return `${record.position.source}/${record.position.partition}`;
}
