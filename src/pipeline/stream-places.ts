/**
 * How far the stream has come in each partition: the frame that was offered last.
 */
import type { SourcePosition } from '../event/accepted-event.js';
import type { L1Frame } from '../event/frame.js';
import { isAfter, type FramePlace, type Section } from '../event/swap-point.js';

interface Reached {
  readonly source: string;
  /** Highest offset that was offered. */
  offset: bigint;
  /** Furthest place of a frame that could be decoded. */
  place: FramePlace | undefined;
  /** When a frame came last [ms]. */
  lastMs: number;
}

export class StreamPlaces {
  readonly #partitions = new Map<number, Reached>();

  note({ source, partition, offset }: SourcePosition, frame: L1Frame | undefined): void {
    const reached = this.#partitions.get(partition);
    if (reached === undefined) {
      const place = frame === undefined ? undefined : placeOf(frame);
      this.#partitions.set(partition, { source, offset, place, lastMs: performance.now() });
      return;
    }
    reached.lastMs = performance.now();
    if (offset <= reached.offset) return;
    reached.offset = offset;
    if (frame !== undefined) reached.place = placeOf(frame);
  }

  /** By partition. */
  entries(): Iterable<[number, Readonly<Reached>]> {
    return this.#partitions;
  }

  get(partition: number): Readonly<Reached> | undefined {
    return this.#partitions.get(partition);
  }

  /** The last section that any partition has come to. */
  get lastSection(): Section | undefined {
    let last: Section | undefined;
    for (const { place } of this.#partitions.values()) {
      if (place !== undefined && (last === undefined || isAfter(place, last))) last = place;
    }
    return last;
  }
}

export function placeOf({ run, luminositySection, orbit }: L1Frame): FramePlace {
  return { run, luminositySection, orbit };
}
