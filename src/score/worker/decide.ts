/**
 * From the scores of one inference call to decisions: one pass per path over arrays private to the worker.
 */
import { eventFaultCode } from '../../event/hardware-words.js';
import { HISTOGRAM_BINS, histogramBin } from '../messages.js';

const SCORE_FAULT = eventFaultCode('score-not-finite');
/** Exponent of a float32: all ones in what is not finite. */
const EXPONENT_BITS = 0x7f800000;

/** Rows of a task, ascending. */
export interface Decided {
  readonly accepted: number[];
  readonly faulty: number[];
}

/** The scores of one path, and the float32 that they have to reach. */
export interface ScoredPath {
  readonly scores: Float32Array;
  readonly threshold: number;
}

export class Decider {
  /** Of each path: uint32 [HISTOGRAM_BINS] of the scores of sound events since the last {@link reset}. */
  readonly histograms: readonly Uint32Array[];
  readonly #paths: readonly (ScoredPath & { readonly bits: Int32Array })[];
  /** Per row: whether a path accepts it. */
  readonly #passed: Uint8Array;

  /** @param paths - whose score arrays are filled anew before every {@link decide} */
  constructor(paths: readonly ScoredPath[], rows: number) {
    this.#paths = paths.map(({ scores, threshold }) => {
      return { scores, threshold, bits: new Int32Array(scores.buffer, scores.byteOffset, scores.length) };
    });
    this.histograms = paths.map(() => new Uint32Array(HISTOGRAM_BINS));
    this.#passed = new Uint8Array(rows);
  }

  reset(): void {
    for (const histogram of this.histograms) histogram.fill(0);
  }

  /**
   * Decide the first rows of the score arrays: an event is accepted if score >= threshold on any path.
   *
   * @param faults - fault code per event; a score that is not finite is added as one
   * @param firstRow - added to the rows reported
   */
  decide(events: number, faults: Uint8Array, firstRow: number, { accepted, faulty }: Decided): void {
    let remarkable = 0;
    for (const [path, { scores, bits, threshold }] of this.#paths.entries()) {
      remarkable += this.#pass(events, scores, bits, threshold, faults, this.histograms[path]!);
    }
    if (remarkable === 0) return;
    for (let row = 0; row < events; row++) {
      if (faults[row] !== 0) faulty.push(firstRow + row);
      else if (this.#passed[row] !== 0) accepted.push(firstRow + row);
    }
    this.#passed.fill(0);
  }

  /** Count a path's scores; returns how many events it accepts or finds faulty. */
  #pass(
    events: number,
    scores: Float32Array,
    bits: Int32Array,
    threshold: number,
    faults: Uint8Array,
    histogram: Uint32Array,
  ): number {
    let remarkable = 0;
    for (let row = 0; row < events; row++) {
      const pattern = bits[row]!;
      if (faults[row] !== 0) {
        remarkable++;
      } else if ((pattern & EXPONENT_BITS) === EXPONENT_BITS) {
        faults[row] = SCORE_FAULT;
        remarkable++;
      } else {
        const bin = histogramBin(pattern);
        histogram[bin] = histogram[bin]! + 1;
        if (scores[row]! >= threshold) {
          this.#passed[row] = 1;
          remarkable++;
        }
      }
    }
    return remarkable;
  }
}
