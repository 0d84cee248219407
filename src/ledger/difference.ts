/**
 * Places at which something is not as it was taken down, of which the first counts.
 */
import type { SourcePosition } from '../event/accepted-event.js';

export interface Difference {
  /** `PARTITION/OFFSET`, with `/INDEX` where it is one event. */
  readonly where: string;
  /**
   * `input`: the frame as it is read now is not the one that was decided; `event`: an accepted event as it was
   * published; `ledger`: what the ledger says; `recording`: an event in a recording, which `where` counts.
   */
  readonly what: 'input' | 'event' | 'ledger' | 'recording';
  readonly expected: string;
  readonly received: string;
}

/** A frame, or with an index one of its events. */
export type Place = Pick<SourcePosition, 'partition' | 'offset'> & { readonly index?: number | undefined };

/** Keeps the first difference: by partition, offset and index; an event before its frame, because it says more. */
export class FirstDifference {
  #first: { readonly place: Place; readonly difference: Difference } | undefined;

  get value(): Difference | undefined {
    return this.#first?.difference;
  }

  expect(place: Place, what: Difference['what'], expected: string, received: string): void {
    if (expected !== received) this.differ(place, what, expected, received);
  }

  differ(place: Place, what: Difference['what'], expected: string, received: string): void {
    if (this.#first !== undefined && !isBefore(place, this.#first.place)) return;
    const { partition, offset, index } = place;
    const where = `${partition}/${offset}${index === undefined ? '' : `/${index}`}`;
    this.#first = { place, difference: { where, what, expected, received } };
  }
}

function isBefore(one: Place, other: Place): boolean {
  if (one.partition !== other.partition) return one.partition < other.partition;
  if (one.offset !== other.offset) return one.offset < other.offset;
  return (one.index ?? Infinity) < (other.index ?? Infinity);
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
