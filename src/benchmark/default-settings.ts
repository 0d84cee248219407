import { loadSettings } from '../config/load.js';
import type { Settings } from '../config/options.js';

type StreamOption = 'batchEvents' | 'inferenceRows' | 'maxBatchDelayUs' | 'maxFrameBytes' | 'maxInFlightBytes';

/** What `nae-trigger run` takes where nothing is said. */
export function defaultSettings(): Settings<StreamOption> {
  return loadSettings(['batchEvents', 'inferenceRows', 'maxBatchDelayUs', 'maxFrameBytes', 'maxInFlightBytes'], {});
}
