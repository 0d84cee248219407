/**
 * What a model finds: area under the ROC curve and signal efficiency at fixed background efficiencies.
 */
import { binomialInterval, binomialQuantile } from '../decide/intervals.js';
import { empiricalThreshold, lowerBound } from '../decide/threshold.js';

export const BACKGROUND_EFFICIENCIES = [1e-3, 1e-4, 1e-5] as const;

interface WorkingPoint {
  /** Background efficiency asked for. */
  readonly background: number;
  /** Signal efficiency, and its 95 % interval. */
  readonly signal: number;
  readonly low: number;
  readonly high: number;
  readonly threshold: number;
  readonly background_passing: number;
}

interface SignalResult {
  readonly name: string;
  readonly events: number;
  readonly auc: number;
  /** Standard error of the AUC. */
  readonly auc_error: number;
  readonly efficiency: readonly WorkingPoint[];
}

/** Result of `evaluate`, as `--json` writes it. */
export interface Evaluation {
  readonly model: string;
  readonly background_events: number;
  readonly signals: readonly SignalResult[];
}

/**
 * @param background - float32 scores of the background; sorted in place
 * @param effectiveBackground - independent events that the background is worth
 * @param signals - float32 scores of each signal; sorted in place
 */
export function evaluate(
  model: string,
  background: Float32Array,
  effectiveBackground: number,
  signals: ReadonlyMap<string, Float32Array>,
): Evaluation {
  background.sort();
  return {
    model,
    background_events: background.length,
    signals: Array.from(signals, ([name, scores]) => {
      scores.sort();
      return {
        name,
        events: scores.length,
        ...areaUnderCurve(background, scores),
        efficiency: BACKGROUND_EFFICIENCIES.map((efficiency) =>
          workingPoint(background, effectiveBackground, scores, efficiency),
        ),
      };
    }),
  };
}

/**
 * Signal efficiency above the empirical background quantile. Its interval adds two parts in quadrature: the
 * binomial one of the signal (Clopper-Pearson), and what the threshold's own uncertainty does: the efficiencies at
 * the ends of the distribution-free 95 % interval of the quantile. Above the true quantile lie as many of n
 * background events as a binomial count of n trials has successes; the interval runs between the scores of the
 * ranks that this count takes (David and Nagaraja, Order Statistics, 3rd ed., section 7.1).
 */
function workingPoint(
  background: Float32Array,
  effectiveBackground: number,
  signal: Float32Array,
  efficiency: number,
): WorkingPoint {
  const { threshold, passing } = empiricalThreshold(background, efficiency);
  const above = (cut: number): number => signal.length - lowerBound(signal, cut);
  const observed = above(threshold) / signal.length;
  const statistical = binomialInterval(above(threshold), signal.length);
  const thresholdAt = (quantile: number): number =>
    empiricalThreshold(background, binomialQuantile(quantile, effectiveBackground, efficiency) / effectiveBackground)
      .threshold;
  const strict = thresholdAt(0.025);
  const loose = thresholdAt(0.975);
  return {
    background: efficiency,
    signal: observed,
    low: Math.max(0, observed - Math.hypot(observed - statistical.low, observed - above(strict) / signal.length)),
    high: Math.min(1, observed + Math.hypot(statistical.high - observed, above(loose) / signal.length - observed)),
    threshold,
    background_passing: passing,
  };
}

/**
 * Area under the ROC curve (ties count half) and its standard error after DeLong, DeLong and Clarke-Pearson,
 * Biometrics 44 (1988) 837.
 *
 * @param background - sorted
 * @param signal - sorted
 */
export function areaUnderCurve(background: Float32Array, signal: Float32Array): { auc: number; auc_error: number } {
  const ofSignal = placements(signal, background);
  const ofBackground = placements(background, signal);
  return {
    auc: ofSignal.mean,
    auc_error: Math.sqrt(ofSignal.variance / signal.length + ofBackground.variance / background.length),
  };
}

/** Mean and variance over `scores` of the fraction of `others` below each score. Both sorted. */
function placements(scores: Float32Array, others: Float32Array): { mean: number; variance: number } {
  let below = 0;
  let upTo = 0;
  let mean = 0;
  let squares = 0;
  for (const [index, score] of scores.entries()) {
    while (below < others.length && others[below]! < score) below++;
    while (upTo < others.length && others[upTo]! <= score) upTo++;
    const placement = (below + upTo) / 2 / others.length;
    // Welford: the variance of millions of nearly equal placements.
    const delta = placement - mean;
    mean += delta / (index + 1);
    squares += delta * (placement - mean);
  }
  return { mean, variance: scores.length > 1 ? squares / (scores.length - 1) : 0 };
}
