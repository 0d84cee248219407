/**
 * The check that a bundle scores here as it did where it was trained.
 */
import { TriggerError } from '../errors.js';
import { VALUES_PER_EVENT } from '../event/layout.js';
import type { Bundle, ParitySet } from './bundle.js';
import { deviceName, ModelSession, type Device } from './session.js';

const ROWS = 64;

export interface ParityReport {
  readonly inputs: number;
  /** Largest |score - expected| / |expected| over the set. */
  readonly maxRelativeDifference: number;
}

/**
 * Load the model on a device and score its parity set.
 *
 * @throws TriggerError SCORING_FAILED where the device refuses the model, otherwise as {@link scoreParity}
 */
export async function checkParity(bundle: Bundle, device: Device): Promise<ParityReport> {
  const session = await ModelSession.create(bundle.model, bundle.manifest.input_layout, ROWS, device);
  try {
    return await scoreParity(session, ROWS, bundle.parity, `${bundle.directory}/parity.json`, deviceName(device));
  } finally {
    await session.release();
  }
}

/**
 * Score a parity set with a session of `batch` rows.
 *
 * @param place - of the set, for messages
 * @throws TriggerError INPUT_REFUSED where a score is further from the trainer's than the set's tolerance (absolute +
 * relative * |expected|)
 */
export async function scoreParity(
  session: ModelSession,
  batch: number,
  { inputs, scores, tolerance }: ParitySet,
  place: string,
  device: string,
): Promise<ParityReport> {
  let maxRelativeDifference = 0;
  for (let first = 0; first < inputs.length; first += batch) {
    const rows = inputs.slice(first, first + batch);
    session.input.fill(0);
    rows.forEach((row, index) => {
      session.input.set(row, index * VALUES_PER_EVENT);
    });
    await session.run();
    for (let row = 0; row < rows.length; row++) {
      const expected = scores[first + row]!;
      const received = session.scores[row]!;
      const difference = Math.abs(received - expected);
      if (!(difference <= tolerance.absolute + tolerance.relative * Math.abs(expected))) {
        throw new TriggerError(
          'INPUT_REFUSED',
          `${place}: input ${first + row}: expected score ${expected} ` +
            `(within ${tolerance.relative} relative), received ${received} on ${device}`,
        );
      }
      if (expected !== 0) maxRelativeDifference = Math.max(maxRelativeDifference, difference / Math.abs(expected));
    }
  }
  return { inputs: inputs.length, maxRelativeDifference };
}
