/**
 * A union of paths: an event is accepted if any of 2 to 4 models reaches its own threshold, and the thresholds are such that
 * all together keep the background efficiency. All paths get the same individual rate, so one number is solved for.
 *
 * An event's rank for a model is the number of background events that score at least as high as the nearest background score
 * at or below its own. The smallest rank over the models is the score of the union: cut at rank k, it accepts what any
 * path accepts at the threshold that lets k background events pass. Ranks are known down to the largest rate asked for
 * (4 bytes of memory per background event above it and model); what is below them ties.
 */
import { TriggerError } from '../errors.js';
import { allowedEvents, nextFloat32 } from '../decide/threshold.js';
import { CLASS_MASK, ROW, type ScoredSample } from '../sample/scored-sample.js';
import {
  BACKGROUND_EFFICIENCIES,
  efficiencyInterval,
  FEW_EVENTS,
  ratioOf,
  type Evaluated,
  type RatioAt,
  type SampleStatistics,
} from './evaluate.js';
import { sweep } from './sweep.js';

export interface UnionResult {
  readonly models: readonly string[];
  readonly rates: readonly {
    readonly background: number;
    readonly background_passing: number;
    readonly few_background: boolean;
    readonly paths: readonly {
      readonly model: string;
      /** For `run --threshold`. */
      readonly threshold: number;
      readonly background_passing: number;
      /** Of those, the ones that no other path accepts. */
      readonly alone: number;
    }[];
    /** Background events that two paths both accept. */
    readonly overlaps: readonly { readonly models: readonly [string, string]; readonly background_passing: number }[];
  }[];
  readonly signals: readonly {
    readonly name: string;
    readonly efficiency: readonly {
      readonly background: number;
      readonly signal: number;
      readonly low: number;
      readonly high: number;
      readonly best_single: string;
      /** Efficiency of the union over that of the best single model at the same background efficiency. */
      readonly over_best: Omit<RatioAt, 'background'>;
    }[];
  }[];
}

/** How many of the highest background scores a union of the sample needs. */
export function unionTail(backgroundEvents: number): number {
  const length = allowedEvents(Math.max(...BACKGROUND_EFFICIENCIES), backgroundEvents) + 1;
  // Ranks are sorted as float32.
  if (length > 2 ** 24) throw new TriggerError('USAGE', `--union: expected at most ${2 ** 24} background events above`);
  return length;
}

/** @param singles - each model's evaluation with a tail of {@link unionTail} */
export function evaluateUnion(
  sample: ScoredSample,
  statistics: SampleStatistics,
  singles: readonly Evaluated[],
): UnionResult {
  const ladders = singles.map(({ sweep: { tail } }) => new RankLadder(tail));
  const worst = Math.max(...singles.map(({ sweep: { tail } }) => tail.length)) + 1;
  const rankOf = (floats: Float32Array, row: number): number => {
    let rank = worst;
    for (let model = 0; model < ladders.length; model++) {
      rank = Math.min(rank, ladders[model]!.rank(floats[row + ROW.scores + model]!, worst));
    }
    return rank;
  };
  const { totals, effective } = statistics;
  const swept = sweep(sample, totals, (floats, row) => worst - rankOf(floats, row), BACKGROUND_EFFICIENCIES, 0);
  const thresholds = swept.rates.map(({ threshold }) =>
    ladders.map((ladder) => ladder.threshold(Math.floor(worst - threshold))),
  );
  const counts = countPatterns(sample, thresholds);
  const models = singles.map(({ result }) => result.model);
  const patternsWith = (rate: number, chosen: (pattern: number) => boolean): number =>
    counts[rate]!.reduce((sum, count, pattern) => (chosen(pattern) ? sum + count : sum), 0);
  return {
    models,
    rates: swept.rates.map(({ background, backgroundPassing }, rate) => ({
      background,
      background_passing: backgroundPassing,
      few_background: backgroundPassing < FEW_EVENTS,
      paths: models.map((model, at) => ({
        model,
        threshold: thresholds[rate]![at]!,
        background_passing: patternsWith(rate, (pattern) => (pattern & (1 << at)) !== 0),
        alone: counts[rate]![1 << at]!,
      })),
      overlaps: models.flatMap((first, a) =>
        models.slice(a + 1).map((second, offset) => {
          const both = (1 << a) | (1 << (a + 1 + offset));
          return {
            models: [first, second] as const,
            background_passing: patternsWith(rate, (pattern) => (pattern & both) === both),
          };
        }),
      ),
    })),
    signals: sample.classes.slice(1).map(({ name, events }, signal) => ({
      name,
      efficiency: swept.rates.map(({ background, efficiency }, rate) => {
        const best = singles.reduce((a, b) =>
          b.result.signals[signal]!.efficiency[rate]!.signal > a.result.signals[signal]!.efficiency[rate]!.signal
            ? b
            : a,
        );
        return {
          background,
          ...efficiencyInterval(efficiency[signal]!, events, effective[signal + 1]!),
          best_single: best.result.model,
          over_best: ratioOf(efficiency[signal]!, best.sweep.rates[rate]!.efficiency[signal]!),
        };
      }),
    })),
  };
}

/** Background events per rate and accepting paths (bit per path). */
function countPatterns(sample: ScoredSample, thresholds: readonly (readonly number[])[]): number[][] {
  const counts = thresholds.map((paths) => new Array<number>(1 << paths.length).fill(0));
  for (const { count, words, floats } of sample.blocks()) {
    for (let event = 0; event < count; event++) {
      const row = event * sample.stride;
      if ((words[row + ROW.tag]! & CLASS_MASK) !== 0) continue;
      for (const [rate, paths] of thresholds.entries()) {
        let pattern = 0;
        for (let at = 0; at < paths.length; at++) {
          if (floats[row + ROW.scores + at]! >= paths[at]!) pattern |= 1 << at;
        }
        counts[rate]![pattern]!++;
      }
    }
  }
  return counts;
}

/** The highest background scores of a model, and how many events are at or above each. */
class RankLadder {
  readonly #falling: Float32Array;

  /** @param tail - falling; the last score and its equals may go on below it and are left out */
  constructor(tail: Float32Array) {
    const last = tail[tail.length - 1];
    this.#falling = last === undefined ? tail : tail.subarray(0, tail.indexOf(last));
  }

  /** Rank of a score; 0 above all, `worst` below the ladder. */
  rank(score: number, worst: number): number {
    const steps = this.#falling;
    if (steps.length > 0 && score > steps[0]!) return 0;
    let low = 0;
    let high = steps.length;
    // First step at or below the score ...
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (steps[middle]! > score) low = middle + 1;
      else high = middle;
    }
    if (low === steps.length) return worst;
    // ... and its last equal.
    const value = steps[low]!;
    while (low < steps.length && steps[low] === value) low++;
    return low;
  }

  /** The lowest score whose rank is at most `rank`; above all where there is none. */
  threshold(rank: number): number {
    const steps = this.#falling;
    let best = steps.length === 0 ? Infinity : nextFloat32(steps[0]!);
    for (let at = 0; at < Math.min(rank, steps.length); at++) {
      if (at + 1 === steps.length || steps[at + 1] !== steps[at]) best = steps[at]!;
    }
    return best;
  }
}
