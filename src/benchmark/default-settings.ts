import { loadSettings } from '../config/load.js';
import type { Settings } from '../config/options.js';

const STREAM_OPTIONS = [
  'batchEvents',
  'inferenceRows',
  'maxBatchDelayUs',
  'maxFrameBytes',
  'maxInFlightBytes',
  'transactionIntervalMs',
  'transactionMaxFrames',
  'transactionMaxBytes',
] as const;

/** What `nae-trigger run` takes where nothing is said. */
export function defaultSettings(): Settings<(typeof STREAM_OPTIONS)[number]> {
  return loadSettings(STREAM_OPTIONS, {});
}
