/**
 * One scoring worker: a Piscina of a single thread, so that a worker that fails can be told from the others, let end
 * and be replaced on the pool's terms. Piscina alone would start another at once, without bound or pause.
 */
import type { ResourceLimits, Worker } from 'node:worker_threads';

import { Piscina } from 'piscina';

import { messageOf } from '../errors.js';
import { Encoding } from '../event/layout.js';
import type { ScoreResult, ScoreTask, WorkerSetup } from './messages.js';

export interface ThreadOptions {
  /** Module that the thread runs. */
  readonly entry: URL;
  readonly setup: WorkerSetup;
  readonly resourceLimits: ResourceLimits | undefined;
  /** Tasks that may be with the thread at a time: one that runs, the others wait there. */
  readonly tasks: number;
  /** Called once if the thread ends without having been asked to. */
  readonly onDeath: (thread: ScoringThread, reason: string) => void;
}

const NOTHING: ScoreTask = { slot: 0, events: 0, encoding: Encoding.HW32, pieces: [] };

export class ScoringThread {
  /** Tasks with the thread. */
  busy = 0;
  dead = false;
  readonly #piscina: Piscina<ScoreTask, ScoreResult>;
  readonly #worker: Worker;
  readonly #exited: Promise<unknown>;
  readonly #running = new Set<Promise<unknown>>();
  #ending = false;

  /** Starts the thread; {@link loaded} tells when it may be used. */
  constructor({ entry, setup, resourceLimits, tasks, onDeath }: ThreadOptions) {
    this.#piscina = new Piscina<ScoreTask, ScoreResult>({
      filename: entry.href,
      workerData: setup,
      // The first task creates the one thread; none follows it by itself.
      minThreads: 0,
      maxThreads: 1,
      idleTimeout: Infinity,
      concurrentTasksPerWorker: tasks,
      recordTiming: false,
      ...(resourceLimits === undefined ? {} : { resourceLimits }),
    });
    // Said by the thread's own events below; an event without a listener would be thrown.
    this.#piscina.on('error', () => undefined);
    const loading = this.#piscina.run(NOTHING);
    this.#worker = this.#piscina.threads[0]!;
    // Piscina's threads keep no process alive before they have a task.
    this.#worker.ref();
    let reason: string | undefined;
    const died = (): void => {
      if (this.dead || this.#ending) return;
      this.dead = true;
      onDeath(this, reason ?? 'the thread ended');
    };
    this.#worker.on('error', (error: unknown) => {
      reason = messageOf(error);
      died();
    });
    this.#worker.on('exit', (code) => {
      reason ??= `the thread exited with code ${code}`;
      died();
    });
    this.#exited = new Promise((resolve) => this.#worker.once('exit', resolve));
    this.loaded = Promise.race([
      loading.then(() => undefined),
      this.#exited.then(() => Promise.reject(new Error(reason ?? 'the thread ended while it loaded its models'))),
    ]);
    // Of the two, the one that comes second is nobody's concern; nor is a failure that nobody waits for any more.
    loading
      .catch(() => undefined)
      .finally(() => {
        this.#worker.unref();
      });
    this.loaded.catch(() => undefined);
    this.#track(loading);
  }

  /** Resolves when the thread has loaded its models, rejects with the reason where it cannot. */
  readonly loaded: Promise<void>;

  /**
   * Score a slot. Where it rejects, the thread no longer writes to the slot: a dying thread has ended by then.
   */
  async run(task: ScoreTask): Promise<ScoreResult> {
    this.busy++;
    const running = this.#piscina.run(task);
    this.#track(running);
    try {
      return await running;
    } catch (error) {
      if (this.dead) await this.#exited;
      throw error;
    } finally {
      this.busy--;
    }
  }

  /** Let what runs end, then end the thread: terminated while it loads or runs a model it would abort the process. */
  async end(): Promise<void> {
    while (this.#running.size > 0) {
      await Promise.race([Promise.allSettled([...this.#running]), this.#exited]);
      if (this.dead) break;
    }
    this.#ending = true;
    await this.#piscina.destroy();
    if (this.dead) await this.#exited;
  }

  #track(task: Promise<unknown>): void {
    this.#running.add(task);
    const forget = (): void => {
      this.#running.delete(task);
    };
    task.then(forget, forget);
  }
}
