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

/** Events that may pass of a number of them: 1e-5 * 1e5 must be 1, not 0.99...; the slack is more than rounding. */
export function allowedEvents(rate: number, events: number): number {
  return Math.floor(rate * events + 1e-6);
}

/**
 * The threshold at which as many events pass (score >= threshold) as may, {@link allowedEvents} at most: the score of the
 * lowest event that passes.
 *
 * Equal scores pass together or not at all, so fewer may pass. Where not even one event may pass, the threshold
 * is the next float32 above the highest score.
 *
 * @param falling - the highest background scores, sorted from the highest down: at least one more than may pass, or all
 * @param events - background events in all
 */
export function empiricalThreshold(
  falling: Float32Array,
  events: number,
  rate: number,
): { threshold: number; passing: number } {
  const highest = falling[0];
  if (highest === undefined) throw new TriggerError('INPUT_REFUSED', 'expected background events, received none');
  const allowed = allowedEvents(rate, events);
  if (allowed >= events) return { threshold: falling[events - 1]!, passing: events };
  const firstRejected = falling[allowed]!;
  let passing = allowed;
  while (passing > 0 && falling[passing - 1] === firstRejected) passing--;
  return passing === 0 ? { threshold: nextFloat32(highest), passing } : { threshold: falling[passing - 1]!, passing };
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
