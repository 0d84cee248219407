/**
 * Thresholds: from a calibration to a cut, and from background scores to a calibration.
 */
import { TriggerError } from '../errors.js';
import type { Bundle, Calibration, Quantisation } from '../model/bundle.js';

/**
 * The calibrated threshold of a bundle for a target rate.
 *
 * @throws TriggerError USAGE where the rate is not calibrated, or was calibrated on another grid
 */
export function calibratedThreshold(bundle: Bundle, targetRate: number, quantisation: Quantisation): Calibration {
  const calibration = bundle.calibrations.find(({ target_rate }) => target_rate === targetRate);
  if (calibration === undefined) {
    const rates = bundle.calibrations.map(({ target_rate }) => target_rate.toExponential()).join(', ');
    throw new TriggerError(
      'USAGE',
      `--target-rate ${targetRate.toExponential()}: ${bundle.directory} is calibrated for ${rates === '' ? 'no rate' : rates}`,
    );
  }
  if (calibration.quantisation !== quantisation) {
    throw new TriggerError(
      'USAGE',
      `--quantise ${quantisation}: ${bundle.directory} was calibrated with ${calibration.quantisation}`,
    );
  }
  return calibration;
}

/**
 * The threshold at which as many events pass (score >= threshold) as may, at most `rate * scores.length`: the score of
 * the lowest event that passes.
 *
 * Equal scores pass together or not at all, so fewer may pass. Where not even one event may pass, the threshold
 * is the next float32 above the highest score.
 *
 * @param ascending - background scores, sorted
 */
export function empiricalThreshold(ascending: Float32Array, rate: number): { threshold: number; passing: number } {
  const events = ascending.length;
  // 1e-5 * 1e5 must be 1, not 0.99...: half an event of slack is more than rounding and less than an event.
  const allowed = Math.floor(rate * events + 1e-6);
  const highest = ascending[events - 1];
  if (highest === undefined) throw new TriggerError('INPUT_REFUSED', 'expected background events, received none');
  if (allowed >= events) return { threshold: ascending[0]!, passing: events };
  const firstRejected = ascending[events - allowed - 1]!;
  const threshold = nextFloat32(firstRejected);
  const first = lowerBound(ascending, threshold);
  return first === events ? { threshold, passing: 0 } : { threshold: ascending[first]!, passing: events - first };
}

/** Index of the first score at or above a value. */
export function lowerBound(ascending: Float32Array, value: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ascending[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The next larger float32. */
export function nextFloat32(value: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  const bits = view.getInt32(0);
  if (value === 0) view.setInt32(0, 1);
  else view.setInt32(0, value > 0 ? bits + 1 : bits - 1);
  return view.getFloat32(0);
}
