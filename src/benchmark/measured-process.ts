/** Jobs in processes of their own, so that their CPU time and memory are their own. */
import { fork, type ChildProcess } from 'node:child_process';

import { TriggerError } from '../errors.js';
import type { ConsumeJob, ConsumeMessage, ConsumeOutcome } from './consume.js';
import type { FeedJob, FeedOutcome } from './feeder.js';

/** Run a job of consume.ts. */
export function consume(job: ConsumeJob): Promise<ConsumeOutcome> {
  return new MeasuredProcess<ConsumeOutcome>('consume.js', job).outcome;
}

/** Run a job of feeder.ts. */
export function feed(job: FeedJob): Promise<FeedOutcome> {
  return new MeasuredProcess<FeedOutcome>('feeder.js', job).outcome;
}

/** A job of consume.ts whose frames come while it runs. */
export class LiveConsumer {
  /** Resolves when it has got its partitions. */
  readonly assigned: Promise<void>;
  readonly #process: MeasuredProcess<ConsumeOutcome>;

  constructor(job: Omit<ConsumeJob, 'live'>) {
    const process = new MeasuredProcess<ConsumeOutcome>('consume.js', { ...job, live: true } satisfies ConsumeJob);
    this.#process = process;
    this.assigned = Promise.race([
      new Promise<void>((resolve) => {
        process.child.on('message', (message) => {
          if (message === 'assigned') resolve();
        });
      }),
      process.outcome.then(() => undefined),
    ]);
    // Of a process that fails both reject: whoever waits for the outcome hears of it.
    this.assigned.catch(() => undefined);
  }

  /** Let it decide what it has got and end. */
  end(): Promise<ConsumeOutcome> {
    this.#process.child.send('stop' satisfies ConsumeMessage);
    return this.#process.outcome;
  }
}

/** A process that is sent its job first and sends its outcome, an object, last. */
class MeasuredProcess<Outcome extends object> {
  readonly child: ChildProcess;
  readonly outcome: Promise<Outcome>;

  constructor(module: string, job: object) {
    const child = fork(new URL(module, import.meta.url));
    this.child = child;
    this.outcome = new Promise((resolve, reject) => {
      let outcome: Outcome | undefined;
      child.on('message', (message) => {
        if (typeof message === 'object') outcome = message as Outcome;
      });
      child.once('error', reject);
      child.once('exit', (code) => {
        if (outcome === undefined) {
          const ended = `a measured process (${module}) ended with code ${String(code)} and no outcome`;
          reject(new TriggerError('SCORING_FAILED', ended));
        } else resolve(outcome);
      });
    });
    child.send(job);
  }
}
