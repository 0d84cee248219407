/**
 * What models find: area under the ROC curve and signal efficiency at fixed background efficiencies, with intervals that
 * know of events that share a generated parton event; what a model adds to another trigger; and what it sculpts.
 */
import { binomialInterval, effectiveEvents } from '../decide/intervals.js';
import { groupSizes } from '../sample/group-sizes.js';
import { ROW, type ScoredSample } from '../sample/scored-sample.js';
import { centralInterval, nominal, spread, type Replicas } from './replicas.js';
import { sampleTotals, sweep, type RateSweep, type SampleTotals, type Sweep } from './sweep.js';

export const BACKGROUND_EFFICIENCIES = [1e-3, 1e-4, 1e-5] as const;
/** Below this many background events above a threshold, a working point is marked. */
export const FEW_EVENTS = 10;

interface WorkingPoint {
  /** Background efficiency asked for. */
  readonly background: number;
  /** Signal efficiency, and its 95 % interval. */
  readonly signal: number;
  readonly low: number;
  readonly high: number;
  readonly threshold: number;
  readonly background_passing: number;
  /** Fewer than {@link FEW_EVENTS} background events pass: the threshold is hardly known. */
  readonly few_background: boolean;
  /** Of all signal events, those found here and not by the trigger of `beyond`; with its 95 % interval. */
  readonly pure?: { readonly signal: number; readonly low: number; readonly high: number };
}

interface SignalResult {
  readonly name: string;
  readonly events: number;
  /** Independent events that they are worth. */
  readonly effective_events: number;
  readonly auc: number;
  /** Standard error of the AUC. */
  readonly auc_error: number;
  readonly efficiency: readonly WorkingPoint[];
}

/** How a score goes with HT or visible mass over the background. */
interface Sculpting {
  /** Spearman's rank correlation with the score. */
  readonly spearman: number;
  /** Means [GeV] of all background events and of those above each threshold; null without any. */
  readonly mean_all: number;
  readonly mean_passing: readonly { readonly background: number; readonly mean: number | null }[];
}

/** Result for one model, as `--json` writes it. */
export interface Evaluation {
  readonly model: string;
  readonly background_events: number;
  readonly effective_background_events: number;
  readonly replicas: number;
  readonly signals: readonly SignalResult[];
  readonly sculpting: { readonly ht: Sculpting; readonly mass: Sculpting };
}

export interface EvaluationOptions {
  /** Bootstrap replicas, an even number, and the seed of their weights. */
  readonly replicas: number;
  readonly seed: number;
  /** Whether rows know what another trigger takes. */
  readonly pure: boolean;
  /** Highest background scores to keep of each model (for a union). */
  readonly tailLength: number;
}

/** A model's result with the replicas behind it. */
export interface Evaluated {
  readonly result: Evaluation;
  readonly sweep: Sweep;
}

export interface SampleStatistics {
  readonly totals: SampleTotals;
  /** Per class: Kish's effective number. */
  readonly effective: readonly number[];
}

/** What all models of a sample share. */
export function statisticsOf(sample: ScoredSample, options: EvaluationOptions): SampleStatistics {
  return {
    totals: sampleTotals(sample, options.replicas, options.seed),
    effective: sample.classes.map(({ grouped, events }, at) =>
      grouped ? effectiveEvents(groupSizes(sample, at)) : events,
    ),
  };
}

/** Evaluate the sample's scores of one model. */
export function evaluate(
  name: string,
  model: number,
  sample: ScoredSample,
  statistics: SampleStatistics,
  options: EvaluationOptions,
): Evaluated {
  const { totals, effective } = statistics;
  const column = ROW.scores + model;
  const swept = sweep(
    sample,
    totals,
    (floats, row) => floats[row + column]!,
    BACKGROUND_EFFICIENCIES,
    options.tailLength,
  );
  const [background, ...signals] = sample.classes;
  const result: Evaluation = {
    model: name,
    background_events: background!.events,
    effective_background_events: effective[0]!,
    replicas: options.replicas,
    signals: signals.map(({ name: signal, events }, at) => ({
      name: signal,
      events,
      effective_events: effective[at + 1]!,
      auc: nominal(swept.auc[at]!),
      auc_error: spread(swept.auc[at]!),
      efficiency: swept.rates.map((rate) => workingPoint(rate, at, events, effective[at + 1]!, options.pure)),
    })),
    sculpting: {
      ht: sculpting(totals.ht, swept, swept.spearmanHt, ({ meanHt }) => meanHt),
      mass: sculpting(totals.mass, swept, swept.spearmanMass, ({ meanMass }) => meanMass),
    },
  };
  return { result, sweep: swept };
}

function workingPoint(rate: RateSweep, signal: number, events: number, effective: number, pure: boolean): WorkingPoint {
  return {
    background: rate.background,
    ...efficiencyInterval(rate.efficiency[signal]!, events, effective),
    threshold: rate.threshold,
    background_passing: rate.backgroundPassing,
    few_background: rate.backgroundPassing < FEW_EVENTS,
    ...(pure ? { pure: efficiencyInterval(rate.pure[signal]!, events, effective) } : {}),
  };
}

/**
 * An efficiency with its 95 % interval: the percentiles of the replicas, in each of which both the threshold and the
 * signal are drawn again, but never narrower than the exact binomial interval of the signal at the threshold with its
 * effective number of events: replicas of no event are all zero.
 */
export function efficiencyInterval(
  efficiency: Replicas,
  events: number,
  effective: number,
): { signal: number; low: number; high: number } {
  const signal = nominal(efficiency);
  const drawn = centralInterval(efficiency);
  const worth = effective / events;
  const binomial = binomialInterval(Math.round(signal * events) * worth, effective);
  return { signal, low: Math.min(drawn.low, binomial.low), high: Math.max(drawn.high, binomial.high) };
}

function sculpting(
  counts: Float64Array,
  { rates }: Sweep,
  spearman: number,
  meanOf: (rate: RateSweep) => number | undefined,
): Sculpting {
  let events = 0;
  let sum = 0;
  for (const [code, count] of counts.entries()) {
    events += count;
    sum += code * count;
  }
  return {
    spearman,
    mean_all: sum / 2 / events,
    mean_passing: rates.map((rate) => ({ background: rate.background, mean: meanOf(rate) ?? null })),
  };
}

/** Two models on the same events. */
export interface Comparison {
  readonly model: string;
  readonly against: string;
  readonly signals: readonly {
    readonly name: string;
    /** AUC of the model less the other's, with its paired 95 % interval. */
    readonly auc_difference: number;
    readonly low: number;
    readonly high: number;
    /** Efficiency of the model over the other's; null where it is not bounded. */
    readonly efficiency_ratio: readonly RatioAt[];
  }[];
}

export interface RatioAt {
  readonly background: number;
  readonly ratio: number | null;
  readonly low: number | null;
  readonly high: number | null;
}

/** Paired comparison: both models see the same replicas, so what they share drops out. */
export function compare(one: Evaluated, other: Evaluated): Comparison {
  return {
    model: one.result.model,
    against: other.result.model,
    signals: one.result.signals.map(({ name }, signal) => {
      const difference = one.sweep.auc[signal]!.map((auc, at) => auc - other.sweep.auc[signal]![at]!);
      return {
        name,
        auc_difference: nominal(difference),
        ...centralInterval(difference),
        efficiency_ratio: one.sweep.rates.map(({ background, efficiency }, rate) => ({
          background,
          ...ratioOf(efficiency[signal]!, other.sweep.rates[rate]!.efficiency[signal]!),
        })),
      };
    }),
  };
}

/** Ratio of two efficiencies with its paired 95 % interval; null where a number would be infinite or undefined. */
export function ratioOf(one: Replicas, other: Replicas): Omit<RatioAt, 'background'> {
  const ratios = one.map((value, at) => value / other[at]!);
  const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);
  const { low, high } = centralInterval(ratios);
  return { ratio: finite(nominal(ratios)), low: low === -Infinity ? 0 : finite(low), high: finite(high) };
}
