/** When the next of a row of frames is due, to a fraction of a millisecond. */
import { Worker } from 'node:worker_threads';

import type { PacerMessage, PacerSetup } from './pacer.worker.js';

/** The thread that says when frames are due. */
export class Pacer {
  /** When frame 0 is due [ms since the epoch]. */
  startMs = NaN;
  /** So many frames are due. */
  due = 0;
  readonly #worker: Worker;
  #wake: () => void = () => undefined;

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.on('message', (message: PacerMessage) => {
      if ('due' in message) this.due = message.due;
      else this.startMs = message.startMs;
      this.#wake();
    });
  }

  /** Frame n is due at `startMs + n intervalMs`. */
  static async start(count: number, intervalMs: number): Promise<Pacer> {
    const workerData: PacerSetup = { count, intervalMs };
    const pacer = new Pacer(new Worker(new URL('pacer.worker.js', import.meta.url), { workerData }));
    await pacer.news();
    return pacer;
  }

  /** Resolves when the thread has said something more. */
  news(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve));
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}
