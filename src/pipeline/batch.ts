/**
 * A batch: events of one encoding that one menu decides, where they lie, the slot for what comes of them, and the frames
 * they came from.
 */
import { orbitOf, type L1Frame } from '../event/frame.js';
import { bytesPerEvent, Encoding, ORBIT_MAX } from '../event/layout.js';
import type { Menu } from '../score/menu.js';
import { bytesOfPiece, type Piece, type ScoreTask, type SlotViews } from '../score/messages.js';
import type { FrameInFlight } from './frame-in-flight.js';

/** Written in place of the crossing of an event whose orbit is beyond the counter: no such crossing exists. */
const NO_CROSSING = 0xffff;

/** Fewer events are copied: that is less work than to say where they are. */
const WORTH_REFERRING_EVENTS = 256;

/** Consecutive events of one frame in a batch. */
interface Segment {
  readonly frame: FrameInFlight;
  readonly firstEvent: number;
  readonly firstRow: number;
  readonly events: number;
}

export class Batch {
  readonly menu: Menu;
  readonly slot: number;
  readonly encoding: Encoding;
  readonly views: SlotViews;
  readonly #capacity: number;
  readonly #segments: Segment[] = [];
  readonly #pieces: Piece[] = [];
  #events = 0;

  constructor(menu: Menu, slot: number, views: SlotViews, encoding: Encoding, capacity: number) {
    this.menu = menu;
    this.slot = slot;
    this.views = views;
    this.encoding = encoding;
    this.#capacity = capacity;
  }

  get events(): number {
    return this.#events;
  }

  get full(): boolean {
    return this.#events === this.#capacity;
  }

  get segments(): readonly Segment[] {
    return this.#segments;
  }

  get task(): ScoreTask {
    return { slot: this.slot, events: this.#events, encoding: this.encoding, pieces: this.#pieces };
  }

  /**
   * Take as many events as fit, `most` of them, from `firstEvent` on; returns how many. The frame's bytes have to stay as
   * they are until the batch is scored: objects in shared memory are not copied.
   */
  append(frame: FrameInFlight, wire: L1Frame, firstEvent: number, most: number): number {
    const events = Math.min(most, this.#capacity - this.#events, wire.eventCount - firstEvent);
    const size = bytesPerEvent(this.encoding);
    this.#take(wire.objects.subarray(firstEvent * size, (firstEvent + events) * size), events);
    const { crossings } = this.views;
    copyInto(crossings, this.#events * 2, wire.bunchCrossings.subarray(firstEvent * 2, (firstEvent + events) * 2));
    if (wire.orbit > ORBIT_MAX - 0xffff) {
      for (let index = 0; index < events; index++) {
        if (orbitOf(wire, firstEvent + index) > ORBIT_MAX) crossings[this.#events + index] = NO_CROSSING;
      }
    }
    this.#segments.push({ frame, firstEvent, firstRow: this.#events, events });
    this.#events += events;
    return events;
  }

  #take(objects: Uint8Array, events: number): void {
    const { buffer: memory, byteOffset } = objects;
    // Physical values may lie at any address on the wire, and are read as numbers.
    if (memory instanceof SharedArrayBuffer && this.encoding === Encoding.HW32 && events >= WORTH_REFERRING_EVENTS) {
      this.#pieces.push({ memory, at: byteOffset, events });
      return;
    }
    const at = this.#events * bytesPerEvent(this.encoding);
    copyInto(this.views.objects, at, objects);
    const last = this.#pieces.at(-1);
    if (last !== undefined && last.memory === undefined) {
      this.#pieces[this.#pieces.length - 1] = { ...last, events: last.events + events };
    } else this.#pieces.push({ memory: undefined, at, events });
  }

  /** Copy all objects, wherever they lie, one behind the other. */
  copyObjects(target: Uint8Array): void {
    const size = bytesPerEvent(this.encoding);
    let to = 0;
    for (const piece of this.#pieces) {
      const objects = bytesOfPiece(piece, this.views.objects, 0, piece.events * size);
      copyInto(target, to, objects);
      to += objects.length;
    }
  }

  /** Frame and event index of ascending rows. */
  *locate(rows: readonly number[]): Generator<{ frame: FrameInFlight; index: number; row: number }> {
    let at = 0;
    for (const row of rows) {
      while (row >= this.#segments[at]!.firstRow + this.#segments[at]!.events) at++;
      const { frame, firstEvent, firstRow } = this.#segments[at]!;
      yield { frame, index: firstEvent + row - firstRow, row };
    }
  }
}

/**
 * Copy bytes into shared memory, little-endian as on the wire. A typed array's `set` goes byte by byte there unless both
 * sides are aligned to 8 (27 to 44 ns for an event's objects); what fills a buffer is copied at full speed (6 ns).
 */
function copyInto(target: ArrayBufferView, at: number, bytes: Uint8Array): void {
  Buffer.from(target.buffer, target.byteOffset + at, bytes.length).fill(bytes);
}
