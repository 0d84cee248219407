/**
 * The pool of scoring workers of one menu, and the slots that carry batches to them.
 *
 * A worker that fails a task or ends is replaced, after a pause and a bounded number of times, and what it had is
 * scored by another: scoring only reads a slot's events and writes its results anew, so it can be repeated.
 */
import type { ResourceLimits } from 'node:worker_threads';

import { messageOf, TriggerError } from '../errors.js';
import type { Bundle, Quantisation } from '../model/bundle.js';
import type { Device } from '../model/session.js';
import type { Happenings } from '../telemetry/happenings.js';
import type { Menu, Path } from './menu.js';
import {
  REJECTED_SCORE,
  slotViews,
  type ScoreResult,
  type ScoreTask,
  type SlotGeometry,
  type SlotViews,
  type WorkerSetup,
} from './messages.js';
import { ScoringThread } from './scoring-thread.js';
import { giveBackSlots, takeSlots } from './slot-memory.js';

export interface ScorePoolOptions {
  readonly paths: readonly Path[];
  /** Of the menu that the paths make. Default: 1, the first of a stream. */
  readonly generation?: number;
  readonly workers: number;
  readonly device: Device;
  readonly quantisation: Quantisation;
  /** HW32 events of a slot, which is what a task carries at most. */
  readonly batchEvents: number;
  /** Rows of one inference call. */
  readonly inferenceRows: number;
  /** Whether every worker scores the parity sets before its first task. Default: no, the caller has seen to it. */
  readonly checkParity?: boolean;
  readonly happenings?: Happenings;
  /** Replacements of failed workers within ten minutes before the pool gives up. Default: 10. */
  readonly maxReplacements?: number;
  /** Module of the workers. Default: worker/score.worker.js. */
  readonly workerEntry?: URL;
  /** Bounds of each worker's JavaScript heap. Default: Node.js' own. */
  readonly resourceLimits?: ResourceLimits;
}

/** Tasks with a worker: one that runs, one that waits with it. */
const TASKS_PER_WORKER = 2;
/** Workers that may fail the same batch before it counts as the batch's fault. */
const MAX_ATTEMPTS = 3;
const DEFAULT_MAX_REPLACEMENTS = 10;
const REPLACEMENT_WINDOW_MS = 600_000;
/** Pause before the first replacement; it doubles with every failure in the window. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5_000;

interface Job {
  readonly task: ScoreTask;
  readonly resolve: (result: ScoreResult) => void;
  readonly reject: (error: TriggerError) => void;
  attempts: number;
}

/** What a worker needs to load a model. */
function loaded({ model, manifest, parity, directory }: Bundle, { checkParity }: ScorePoolOptions) {
  return {
    bytes: model,
    layout: manifest.input_layout,
    ...(checkParity === true ? { parity, directory } : {}),
  };
}

export class ScorePool {
  readonly menu: Menu;
  readonly device: Device;
  readonly workers: number;
  readonly geometry: SlotGeometry;
  readonly slots: readonly SlotViews[];
  readonly #options: ScorePoolOptions;
  readonly #setup: WorkerSetup;
  readonly #threads = new Set<ScoringThread>();
  /** Replacements on their way, and threads on theirs out. */
  readonly #changing = new Set<Promise<void>>();
  readonly #queue: Job[] = [];
  readonly #running = new Set<Promise<ScoreResult>>();
  readonly #failuresMs: number[] = [];
  #failure: TriggerError | undefined;
  #closing = false;
  #slotsGivenBack = false;
  #wakePauses = (): void => undefined;
  readonly #closed = new Promise<void>((resolve) => (this.#wakePauses = resolve));

  private constructor(options: ScorePoolOptions, geometry: SlotGeometry, buffers: readonly SharedArrayBuffer[]) {
    this.menu = { generation: options.generation ?? 1, paths: options.paths };
    this.device = options.device;
    this.workers = options.workers;
    this.geometry = geometry;
    this.slots = buffers.map((buffer) => slotViews(buffer, geometry));
    this.#options = options;
    this.#setup = {
      geometry,
      slots: buffers,
      models: options.paths.map(({ bundle, threshold, student }) => ({
        ...loaded(bundle, options),
        threshold,
        ...(student === undefined ? {} : { student: { ...loaded(student.bundle, options), cut: student.cut } }),
      })),
      quantisation: options.quantisation,
      device: options.device,
      rows: options.inferenceRows,
    };
  }

  /**
   * Start the workers and wait until all have loaded their models or failed to. Where some could, the others are
   * replaced. Throws USAGE, INPUT_REFUSED or SCORING_FAILED.
   */
  static async start(options: ScorePoolOptions): Promise<ScorePool> {
    if (options.paths.length === 0) throw new TriggerError('USAGE', 'expected at least one model, received none');
    for (const { name, bundle, threshold, student } of options.paths) {
      const layouts = [bundle, student?.bundle].map((one) => one?.manifest.input_layout);
      if (options.quantisation === 'none' && layouts.includes('hw-int16-planar')) {
        throw new TriggerError('USAGE', `${name} takes hardware codes: it cannot run with quantise none`);
      }
      if (student !== undefined && !(threshold > REJECTED_SCORE)) {
        throw new TriggerError('USAGE', `${name}: a threshold of ${threshold} accepts what its student rejects`);
      }
    }
    const rows = options.inferenceRows;
    const geometry = { capacity: Math.ceil(options.batchEvents / rows) * rows, paths: options.paths.length };
    // and one batch that is being filled
    const count = options.workers * TASKS_PER_WORKER + 1;
    const buffers = takeSlots(count, geometry);
    const pool = new ScorePool(options, geometry, buffers);
    const threads = Array.from({ length: options.workers }, () => pool.#newThread());
    const loaded = await Promise.allSettled(threads.map((thread) => thread.loaded));
    const failed = loaded.flatMap((one) => (one.status === 'rejected' ? [messageOf(one.reason)] : []));
    if (failed.length === options.workers) {
      pool.#closing = true;
      await Promise.all(threads.map((thread) => thread.end()));
      throw new TriggerError('SCORING_FAILED', `a scoring worker failed: ${failed[0]!}`);
    }
    for (const [at, thread] of threads.entries()) {
      pool.#threads.add(thread);
      const outcome = loaded[at]!;
      if (outcome.status === 'rejected') pool.#failed(thread, 'load', messageOf(outcome.reason));
    }
    return pool;
  }

  /** Score a slot; the slot belongs to the worker until the promise settles. Rejects with SCORING_FAILED. */
  score(task: ScoreTask): Promise<ScoreResult> {
    const running = new Promise<ScoreResult>((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      this.#queue.push({ task, resolve, reject, attempts: 0 });
    });
    this.#running.add(running);
    const forget = (): void => {
      this.#running.delete(running);
    };
    running.then(forget, forget);
    this.#dispatch();
    return running;
  }

  /** Let running tasks end, then end the workers. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#running);
    this.#closing = true;
    this.#wakePauses();
    await Promise.all(this.#changing);
    await Promise.all(Array.from(this.#threads, (thread) => thread.end()));
    this.#threads.clear();
    if (!this.#slotsGivenBack) giveBackSlots(this.#setup.slots);
    this.#slotsGivenBack = true;
  }

  #newThread(): ScoringThread {
    return new ScoringThread({
      entry: this.#options.workerEntry ?? new URL('./worker/score.worker.js', import.meta.url),
      setup: this.#setup,
      resourceLimits: this.#options.resourceLimits,
      tasks: TASKS_PER_WORKER,
      onDeath: (thread, reason) => {
        this.#failed(thread, 'died', reason);
      },
    });
  }

  /** Hand waiting tasks to the workers with the fewest. */
  #dispatch(): void {
    while (this.#queue.length > 0) {
      let free: ScoringThread | undefined;
      for (const thread of this.#threads) if (thread.busy < (free?.busy ?? TASKS_PER_WORKER)) free = thread;
      if (free === undefined) return;
      void this.#run(free, this.#queue.shift()!);
    }
  }

  async #run(thread: ScoringThread, job: Job): Promise<void> {
    try {
      job.resolve(await thread.run(job.task));
    } catch (error) {
      this.#failed(thread, 'threw', messageOf(error));
      job.attempts++;
      if (this.#failure !== undefined) {
        job.reject(this.#failure);
      } else if (job.attempts === MAX_ATTEMPTS) {
        const message = `a batch failed on ${MAX_ATTEMPTS} scoring workers, the last time: ${messageOf(error)}`;
        job.reject(new TriggerError('SCORING_FAILED', message, { cause: error }));
      } else {
        this.#options.happenings?.batchRetried(job.attempts);
        this.#queue.unshift(job);
      }
    }
    this.#dispatch();
  }

  /** Take a worker out of use, once, and put another in its place. */
  #failed(thread: ScoringThread, kind: 'threw' | 'died' | 'load', reason: string): void {
    if (!this.#threads.delete(thread)) return;
    this.#change(thread.end());
    this.#replace(kind, reason);
  }

  #replace(kind: 'threw' | 'died' | 'load', reason: string): void {
    if (this.#closing || this.#failure !== undefined) return;
    const now = performance.now();
    this.#failuresMs.push(now);
    while (now - this.#failuresMs[0]! > REPLACEMENT_WINDOW_MS) this.#failuresMs.shift();
    const failures = this.#failuresMs.length;
    const allowed = this.#options.maxReplacements ?? DEFAULT_MAX_REPLACEMENTS;
    if (failures > allowed) {
      this.#options.happenings?.workerFailed(kind, reason, undefined);
      this.#giveUp(
        `scoring workers failed ${failures} times in ${REPLACEMENT_WINDOW_MS / 60_000} minutes (allowed: ${allowed}), the last time: ${reason}`,
      );
      return;
    }
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 1));
    this.#options.happenings?.workerFailed(kind, reason, pauseMs);
    this.#change(this.#startAfter(pauseMs));
  }

  async #startAfter(pauseMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([this.#closed, new Promise((resolve) => (timer = setTimeout(resolve, pauseMs)))]);
    clearTimeout(timer);
    if (this.#closing) return;
    const thread = this.#newThread();
    try {
      await thread.loaded;
    } catch (error) {
      await thread.end();
      this.#replace('load', messageOf(error));
      return;
    }
    this.#threads.add(thread);
    this.#options.happenings?.workerReplaced();
    this.#dispatch();
  }

  #change(change: Promise<void>): void {
    this.#changing.add(change);
    void change.finally(() => this.#changing.delete(change));
  }

  #giveUp(message: string): void {
    this.#failure = new TriggerError('SCORING_FAILED', message);
    for (const { reject } of this.#queue.splice(0)) reject(this.#failure);
  }
}
