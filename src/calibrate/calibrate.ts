/**
 * Calibration: thresholds that keep a fraction of a background, with the interval of the rate they truly keep.
 */
import { empiricalThreshold } from '../decide/threshold.js';
import { effectiveEvents, orderStatisticInterval } from '../decide/intervals.js';
import type { Calibration, Quantisation } from '../model/bundle.js';

export interface BackgroundSample {
  /** float32 score of every sound background event, in any order; sorted in place. */
  readonly scores: Float32Array;
  /** Events per generated parton event, where the recording knows it. */
  readonly eventsPerGroup: Iterable<number> | undefined;
  readonly name: string;
  readonly sha256: string;
}

/**
 * Empirical quantiles of a background at the target rates.
 *
 * The interval is that of an order statistic; where events share a generated parton event, with the effective
 * instead of the counted numbers.
 */
export function calibrate(
  background: BackgroundSample,
  targetRates: readonly number[],
  quantisation: Quantisation,
): Calibration[] {
  const ascending = background.scores.sort();
  const events = ascending.length;
  const effective = background.eventsPerGroup === undefined ? events : effectiveEvents(background.eventsPerGroup);
  return targetRates.map((targetRate) => {
    const { threshold, passing } = empiricalThreshold(ascending, targetRate);
    const { low, high } = orderStatisticInterval((passing * effective) / events, effective);
    return {
      target_rate: targetRate,
      threshold,
      background_events: events,
      effective_events: effective,
      passing,
      low,
      high,
      method: 'empirical quantile',
      background: { name: background.name, sha256: background.sha256 },
      quantisation,
    };
  });
}
