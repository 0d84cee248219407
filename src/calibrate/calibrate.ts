/**
 * Calibration: thresholds that keep a fraction of a background, with the interval of the rate they truly keep.
 */
import { TriggerError } from '../errors.js';
import { effectiveEvents, orderStatisticInterval } from '../decide/intervals.js';
import { empiricalThreshold } from '../decide/threshold.js';
import type { Calibration, Quantisation } from '../model/bundle.js';
import { excessAt, fitPareto, goodnessOfFit, survivalInterval, type ParetoFit } from './pareto-tail.js';

export type CalibrationMethod = 'empirical' | 'gpd';

export interface BackgroundSample {
  /** The highest float32 scores of the sound background events, falling: at least {@link scoresNeeded}, or all. */
  readonly falling: Float32Array;
  /** A number for the generated parton event of each of those; undefined where the recording does not know it. */
  readonly groups: Uint32Array | undefined;
  readonly events: number;
  /** Independent events that they are worth. */
  readonly effective: number;
  readonly name: string;
  readonly sha256: string;
}

/** Tails that are tried, the longest first: the first that the fit describes is taken. */
const TAILS = [5000, 2000, 1000, 500, 250] as const;
/** Longest tail, as a fraction of the background. */
const LARGEST_TAIL = 0.1;
const LEAST_P = 0.1;
const SIGMAS_95 = 1.959963984540054;

/** How many of the highest scores a calibration looks at. */
export function scoresNeeded(events: number, targetRates: readonly number[], method: CalibrationMethod): number {
  const tail = method === 'gpd' ? TAILS[0] : 0;
  return Math.min(events, Math.max(tail, Math.ceil(Math.max(...targetRates) * events)) + 2);
}

/** Thresholds at the target rates. */
export function calibrate(
  background: BackgroundSample,
  targetRates: readonly number[],
  quantisation: Quantisation,
  method: CalibrationMethod = 'empirical',
): Calibration[] {
  const tail = method === 'gpd' ? fitTail(background) : undefined;
  const { falling, events, effective, name, sha256 } = background;
  return targetRates.map((targetRate) => {
    const sample = { background_events: events, effective_events: effective };
    const origin = { background: { name, sha256 }, quantisation };
    if (tail !== undefined && targetRate * events < tail.excesses.length) {
      return { target_rate: targetRate, ...sample, ...fromTail(tail, background, targetRate), ...origin };
    }
    const { threshold, passing } = empiricalThreshold(falling, events, targetRate);
    const { low, high } = orderStatisticInterval((passing * effective) / events, effective);
    return { target_rate: targetRate, threshold, ...sample, passing, low, high, method: EMPIRICAL, ...origin };
  });
}

const EMPIRICAL = 'empirical quantile';
const PARETO = 'generalised Pareto tail';

interface Tail {
  /** Score that the tail begins above. */
  readonly start: number;
  readonly excesses: Float64Array;
  readonly fit: ParetoFit;
  readonly statistic: number;
  readonly pValue: number;
  readonly designEffect: number;
}

function fitTail({ falling, groups, events }: BackgroundSample): Tail {
  let last: Tail | undefined;
  for (const length of TAILS) {
    if (length > LARGEST_TAIL * events || length >= falling.length) continue;
    const start = falling[length]!;
    let count = length;
    while (count > 0 && falling[count - 1] === start) count--;
    if (count < TAILS.at(-1)! / 2) continue;
    const excesses = Float64Array.from(falling.subarray(0, count), (score) => score - start);
    const designEffect = groups === undefined ? 1 : count / effectiveEvents(sizes(groups.subarray(0, count)));
    const fit = fitPareto(excesses);
    last = { start, excesses, fit, designEffect, ...goodnessOfFit(excesses, fit, designEffect) };
    if (last.pValue >= LEAST_P) break;
  }
  if (last === undefined) {
    throw new TriggerError(
      'INPUT_REFUSED',
      `a tail fit takes ${TAILS.at(-1)!} different scores in the highest ${100 * LARGEST_TAIL} %, received ${events} events`,
    );
  }
  return last;
}

function sizes(groups: Uint32Array): Iterable<number> {
  const counts = new Map<number, number>();
  for (const group of groups) counts.set(group, (counts.get(group) ?? 0) + 1);
  return counts.values();
}

/** The fit's interval is one of the rate beyond a fixed threshold; the counting error of the tail's own rate joins it. */
function fromTail(
  { start, excesses, fit, statistic, pValue, designEffect }: Tail,
  { falling, events }: BackgroundSample,
  targetRate: number,
): Pick<Calibration, 'threshold' | 'passing' | 'low' | 'high' | 'method' | 'fit'> {
  const fraction = excesses.length / events;
  const excess = excessAt(fit, targetRate / fraction);
  const threshold = Math.fround(start + excess);
  let passing = 0;
  while (passing < falling.length && falling[passing]! >= threshold) passing++;
  const beyond = survivalInterval(excesses, fit, excess, designEffect);
  const counting = SIGMAS_95 * Math.sqrt((designEffect * (1 - fraction)) / excesses.length);
  const factor = (end: number): number => Math.hypot(Math.log((end * fraction) / targetRate), counting);
  return {
    threshold,
    passing,
    low: targetRate * Math.exp(-factor(beyond.low)),
    high: Math.min(1, targetRate * Math.exp(factor(beyond.high))),
    method: PARETO,
    fit: {
      tail_events: excesses.length,
      tail_start: start,
      shape: fit.shape,
      scale: fit.scale,
      design_effect: designEffect,
      anderson_darling: statistic,
      p_value: pValue,
    },
  };
}
