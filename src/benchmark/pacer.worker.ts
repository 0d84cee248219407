/**
 * Tells the thread that started it when the next of a row of frames is due. A thread of its own, because timers are no
 * finer than a millisecond and waiting turn by turn would take the core that the stream is to be measured on.
 */
import { parentPort, workerData } from 'node:worker_threads';

import { unixMs } from '../telemetry/clock.js';

export interface PacerSetup {
  readonly count: number;
  readonly intervalMs: number;
}

/** First the time at which frame 0 is due [ms since the epoch], then how many frames are due by now. */
export type PacerMessage = { readonly startMs: number } | { readonly due: number };

const { count, intervalMs } = workerData as PacerSetup;
const never = new Int32Array(new SharedArrayBuffer(4));
const post = (message: PacerMessage): void => {
  parentPort!.postMessage(message);
};

const startMs = unixMs();
post({ startMs });
for (let due = 1; due <= count; due++) {
  const waitMs = startMs + (due - 1) * intervalMs - unixMs();
  if (waitMs > 0) Atomics.wait(never, 0, 0, waitMs);
  due = Math.max(due, Math.min(count, 1 + Math.floor((unixMs() - startMs) / intervalMs)));
  post({ due });
}
