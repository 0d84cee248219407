/**
 * A candidate menu beside the running one, on the same events of the live stream: what each accepts, how far they agree,
 * and whether the candidate's rate lies where it should.
 */
import { TriggerError } from '../errors.js';
import { binomialInterval, ratioInterval, type Interval } from './intervals.js';

/** Where the rate of a candidate must lie: within a factor of what is expected, within bounds, or anywhere. */
export type ShadowBand =
  | { readonly kind: 'factor'; readonly factor: number }
  | { readonly kind: 'rates'; readonly low: number; readonly high: number }
  | { readonly kind: 'none' };

/**
 * A band from its text: `none`, a factor (`3`), or rates (`1e-6..1e-4`).
 *
 * @throws TriggerError USAGE
 */
export function parseShadowBand(text: string): ShadowBand {
  if (text === 'none') return { kind: 'none' };
  const [low = NaN, high, more] = text.split('..').map(Number);
  if (high === undefined && low >= 1 && low < Infinity) return { kind: 'factor', factor: low };
  if (high !== undefined && more === undefined && low >= 0 && low <= high && high <= 1) {
    return { kind: 'rates', low, high };
  }
  throw new TriggerError(
    'USAGE',
    `--shadow-band: expected none, a factor of at least 1 or rates LOW..HIGH up to 1, received ${JSON.stringify(text)}`,
  );
}

/** What a comparison has to know of a path. */
export interface ComparedPath {
  readonly name: string;
  readonly modelSha256: string;
  readonly threshold: number;
}

/** Scores of a batch under one menu. */
export interface ComparedScores {
  /** float32, path after path, `stride` apart. */
  readonly scores: Float32Array;
  readonly stride: number;
  /** A fault code per event; 0: none. */
  readonly faults: Uint8Array;
}

interface Rate extends Interval {
  readonly accepted: number;
  readonly rate: number;
}

interface Overlap {
  readonly both: number;
  readonly only_running: number;
  readonly only_candidate: number;
}

/** `low` and `high` are 95 % intervals; null where there is no upper bound. */
export interface ShadowReport extends Overlap {
  readonly events: number;
  /** Events that the candidate has no finite score for and the running menu has. */
  readonly score_faults: number;
  readonly running: Rate;
  readonly candidate: Rate;
  /** The candidate's rate over the running menu's. */
  readonly ratio: { readonly value: number | null; readonly low: number; readonly high: number | null };
  readonly band: {
    readonly of: 'ratio' | 'rate' | 'none';
    readonly low: number | null;
    readonly high: number | null;
    /** Whether the interval lies within the band; false: it reaches beyond, too few events to tell, or outside. */
    readonly demonstrated: boolean;
  };
  readonly paths: readonly (Overlap & {
    readonly path: string;
    readonly running_path: string | null;
    readonly candidate: Rate;
    /** Pearson correlation of the two scores. */
    readonly correlation: number | null;
    /** Largest |difference| of the two scores; of one and the same model only. */
    readonly max_score_difference: number | null;
  })[];
}

/** Counts and moments of a candidate's path and the running path that it is compared with. */
class PathComparison {
  accepted = 0;
  both = 0;
  onlyRunning = 0;
  readonly path: ComparedPath;
  /** Place of the running path, or -1. */
  readonly at: number;
  #events = 0;
  #meanX = 0;
  #meanY = 0;
  #squaresX = 0;
  #squaresY = 0;
  #products = 0;
  #difference = 0;

  constructor(path: ComparedPath, at: number) {
    this.path = path;
    this.at = at;
  }

  /** Welford's update of means and co-moments. */
  addScores(running: number, candidate: number): void {
    this.#events++;
    const deltaX = running - this.#meanX;
    this.#meanX += deltaX / this.#events;
    const deltaY = candidate - this.#meanY;
    this.#meanY += deltaY / this.#events;
    this.#squaresX += deltaX * (running - this.#meanX);
    this.#squaresY += deltaY * (candidate - this.#meanY);
    this.#products += deltaX * (candidate - this.#meanY);
    this.#difference = Math.max(this.#difference, Math.abs(candidate - running));
  }

  report(running: readonly ComparedPath[], events: number): ShadowReport['paths'][number] {
    const spread = Math.sqrt(this.#squaresX * this.#squaresY);
    const other = running[this.at];
    return {
      path: this.path.name,
      running_path: other?.name ?? null,
      candidate: rateOf(this.accepted, events),
      both: this.both,
      only_running: this.onlyRunning,
      only_candidate: this.accepted - this.both,
      correlation: other === undefined || spread === 0 ? null : this.#products / spread,
      max_score_difference: other?.modelSha256 === this.path.modelSha256 ? this.#difference : null,
    };
  }
}

export class ShadowComparison {
  readonly wanted: number;
  readonly #running: readonly ComparedPath[];
  readonly #paths: readonly PathComparison[];
  readonly #band: ShadowBand;
  readonly #expectedRatio: number;
  #events = 0;
  #scoreFaults = 0;
  #accepted = 0;
  #runningAccepted = 0;
  #both = 0;

  /**
   * @param events - to compare
   * @param expectedRatio - of the candidate's rate to the running menu's, which a band of kind `factor` lies around
   */
  constructor(
    running: readonly ComparedPath[],
    candidate: readonly ComparedPath[],
    events: number,
    band: ShadowBand,
    expectedRatio: number,
  ) {
    this.wanted = events;
    this.#running = running;
    this.#band = band;
    this.#expectedRatio = expectedRatio;
    const alone = running.length === 1 && candidate.length === 1;
    this.#paths = candidate.map(
      (path) => new PathComparison(path, alone ? 0 : running.findIndex(({ name }) => name === path.name)),
    );
  }

  get events(): number {
    return this.#events;
  }

  /** One event without a score is enough to object. */
  get complete(): boolean {
    return this.#events >= this.wanted || this.#scoreFaults > 0;
  }

  /** Take the events of a batch in, up to the number that is wanted; those without a sound score for both are left out. */
  add(events: number, running: ComparedScores, candidate: ComparedScores): void {
    for (let row = 0; row < events && this.#events < this.wanted; row++) {
      if (running.faults[row] !== 0) continue;
      if (candidate.faults[row] !== 0) {
        this.#scoreFaults++;
        continue;
      }
      this.#events++;
      const runs = this.#running.some(({ threshold }, at) => running.scores[at * running.stride + row]! >= threshold);
      let passes = false;
      for (const [at, counts] of this.#paths.entries()) {
        const score = candidate.scores[at * candidate.stride + row]!;
        const pathPasses = score >= counts.path.threshold;
        if (pathPasses) counts.accepted++;
        passes ||= pathPasses;
        if (counts.at === -1) continue;
        const other = running.scores[counts.at * running.stride + row]!;
        counts.addScores(other, score);
        if (other < this.#running[counts.at]!.threshold) continue;
        if (pathPasses) counts.both++;
        else counts.onlyRunning++;
      }
      if (runs) this.#runningAccepted++;
      if (passes) this.#accepted++;
      if (runs && passes) this.#both++;
    }
  }

  /**
   * Why the candidate must not be taken, or undefined. A rate is objected to only where its 95 % interval lies wholly
   * outside of the band: a handful of accepted events does not say where the rate is.
   */
  objection(): string | undefined {
    if (this.#scoreFaults > 0) {
      return `expected a finite score for every sound event, received none for ${this.#scoreFaults} in the shadow`;
    }
    const { of, interval, low, high } = this.#judged();
    if (of === 'none' || this.wanted === 0 || (interval.high >= low && interval.low <= high)) return undefined;
    const { accepted, rate } = rateOf(this.#accepted, this.#events);
    const what = of === 'rate' ? 'a rate' : "a rate over the running menu's";
    return (
      `expected ${what} between ${low.toPrecision(3)} and ${high.toPrecision(3)} (--shadow-band), received ` +
      `${interval.low.toPrecision(3)} to ${interval.high.toPrecision(3)} (95 %): ${accepted} of ${this.#events} events ` +
      `accepted (${rate.toPrecision(3)}), ${this.#runningAccepted} by the running menu`
    );
  }

  #judged(): { of: 'ratio' | 'rate' | 'none'; interval: Interval; low: number; high: number } {
    const band = this.#band;
    if (band.kind === 'rates') {
      return { of: 'rate', interval: binomialInterval(this.#accepted, this.#events), low: band.low, high: band.high };
    }
    const interval = ratioInterval(this.#accepted, this.#runningAccepted);
    if (band.kind === 'none') return { of: 'none', interval, low: 0, high: Infinity };
    return { of: 'ratio', interval, low: this.#expectedRatio / band.factor, high: this.#expectedRatio * band.factor };
  }

  report(): ShadowReport {
    const events = this.#events;
    const { of, interval, low, high } = this.#judged();
    const ratio = ratioInterval(this.#accepted, this.#runningAccepted);
    return {
      events,
      score_faults: this.#scoreFaults,
      running: rateOf(this.#runningAccepted, events),
      candidate: rateOf(this.#accepted, events),
      both: this.#both,
      only_running: this.#runningAccepted - this.#both,
      only_candidate: this.#accepted - this.#both,
      ratio: {
        value: this.#runningAccepted === 0 ? null : this.#accepted / this.#runningAccepted,
        low: ratio.low,
        high: finite(ratio.high),
      },
      band: {
        of,
        low: of === 'none' ? null : low,
        high: finite(high),
        demonstrated: of !== 'none' && interval.low >= low && interval.high <= high,
      },
      paths: this.#paths.map((path) => path.report(this.#running, events)),
    };
  }
}

function rateOf(accepted: number, events: number): Rate {
  if (events === 0) return { accepted, rate: 0, low: 0, high: 1 };
  return { accepted, rate: accepted / events, ...binomialInterval(accepted, events) };
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
