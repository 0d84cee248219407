/**
 * The check that a bundle scores here as it did where it was trained.
 */
import { TriggerError } from '../errors.js';
import { VALUES_PER_EVENT } from '../event/layout.js';
import type { Bundle } from './bundle.js';
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
 * @throws TriggerError SCORING_FAILED where the device refuses the model, INPUT_REFUSED where a score is further
 * from the trainer's than the set's tolerance (absolute + relative * |expected|)
 */
export async function checkParity(bundle: Bundle, device: Device): Promise<ParityReport> {
  const { inputs, scores, tolerance } = bundle.parity;
  const session = await ModelSession.create(bundle.model, bundle.manifest.input_layout, ROWS, device);
  let maxRelativeDifference = 0;
  try {
    for (let first = 0; first < inputs.length; first += ROWS) {
      const rows = inputs.slice(first, first + ROWS);
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
            `${bundle.directory}/parity.json: input ${first + row}: expected score ${expected} ` +
              `(within ${tolerance.relative} relative), received ${received} on ${deviceName(device)}`,
          );
        }
        if (expected !== 0) maxRelativeDifference = Math.max(maxRelativeDifference, difference / Math.abs(expected));
      }
    }
  } finally {
    await session.release();
  }
  return { inputs: inputs.length, maxRelativeDifference };
}
