import { fork } from 'node:child_process';

import { TriggerError } from '../errors.js';
import type { ConsumeJob, ConsumeOutcome } from './consume.js';

/** Run a job of consume.ts in a process of its own, so that its CPU time and memory are its own. */
export function consume(job: ConsumeJob): Promise<ConsumeOutcome> {
  return new Promise((resolve, reject) => {
    const child = fork(new URL('consume.js', import.meta.url));
    let outcome: ConsumeOutcome | undefined;
    child.once('message', (message) => (outcome = message as ConsumeOutcome));
    child.once('error', reject);
    child.once('exit', (code) => {
      if (outcome === undefined) {
        reject(new TriggerError('SCORING_FAILED', `a measured process ended with code ${String(code)} and no outcome`));
      } else resolve(outcome);
    });
    child.send(job);
  });
}
