/**
 * The way out: released frames are written in order, one delivery at a time, and acknowledged once durable.
 * What is released while a write is under way goes into the next one.
 */
import type { Sink } from '../sink/sink.js';
import type { Happenings } from '../telemetry/happenings.js';
import type { FrameInFlight } from './frame-in-flight.js';

/** Accepted events and dead letters of one delivery at most, unless a single frame has more. */
const MAX_DELIVERY_ITEMS = 10_000;

export class Deliveries {
  readonly #sink: Sink;
  readonly #happenings: Happenings;
  readonly #finished: (frame: FrameInFlight) => void;
  readonly #failed: (error: unknown) => void;
  #queue: FrameInFlight[] = [];
  #writing = false;
  #broken = false;

  constructor(
    sink: Sink,
    happenings: Happenings,
    finished: (frame: FrameInFlight) => void,
    failed: (error: unknown) => void,
  ) {
    this.#sink = sink;
    this.#happenings = happenings;
    this.#finished = finished;
    this.#failed = failed;
  }

  add(frame: FrameInFlight): void {
    this.#queue.push(frame);
    if (!this.#writing && !this.#broken) this.#drain();
  }

  #drain(): void {
    for (;;) {
      const frames = this.#take();
      if (frames.length === 0) return;
      const accepted = frames.flatMap((frame) => frame.accepted);
      const deadLetters = frames.flatMap((frame) => frame.deadLetters);
      if (accepted.length + deadLetters.length === 0) {
        frames.forEach(this.#finished);
        continue;
      }
      this.#writing = true;
      const start = performance.now();
      this.#sink.write({ accepted, deadLetters }).then(
        () => {
          this.#writing = false;
          this.#happenings.delivered(performance.now() - start);
          frames.forEach(this.#finished);
          this.#drain();
        },
        (error: unknown) => {
          this.#writing = false;
          this.#broken = true;
          this.#failed(error);
        },
      );
      return;
    }
  }

  /** The next frames in order, as many as make one delivery. */
  #take(): FrameInFlight[] {
    let items = 0;
    let count = 0;
    for (const frame of this.#queue) {
      const more = frame.accepted.length + frame.deadLetters.length;
      if (count > 0 && items + more > MAX_DELIVERY_ITEMS) break;
      items += more;
      count++;
    }
    return this.#queue.splice(0, count);
  }
}
