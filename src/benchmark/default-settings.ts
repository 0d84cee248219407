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

export type StreamSettings = Settings<(typeof STREAM_OPTIONS)[number]>;

/** What `nae-trigger run` takes where nothing is said. */
export function defaultSettings(): StreamSettings {
  return loadSettings(STREAM_OPTIONS, {});
}
