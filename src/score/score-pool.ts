/**
 * The pool of scoring workers of one menu, and the slots that carry batches to them.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { Piscina } from 'piscina';

import { messageOf, TriggerError } from '../errors.js';
import { Encoding } from '../event/layout.js';
import type { Quantisation } from '../model/bundle.js';
import type { Device } from '../model/session.js';
import type { Menu, Path } from './menu.js';
import {
  allocateSlot,
  LoadState,
  slotViews,
  type ScoreResult,
  type ScoreTask,
  type SlotGeometry,
  type SlotViews,
  type WorkerSetup,
} from './messages.js';

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
}

/** Tasks with a worker: one that runs, one that waits with it. */
const TASKS_PER_WORKER = 2;
const LOAD_POLL_MS = 2;

export class ScorePool {
  readonly menu: Menu;
  readonly workers: number;
  readonly geometry: SlotGeometry;
  readonly slots: readonly SlotViews[];
  readonly #pool: Piscina<ScoreTask, ScoreResult>;
  readonly #loading = new Int32Array(new SharedArrayBuffer(LoadState.length * Int32Array.BYTES_PER_ELEMENT));
  readonly #running = new Set<Promise<ScoreResult>>();

  private constructor(options: ScorePoolOptions, geometry: SlotGeometry, buffers: readonly SharedArrayBuffer[]) {
    this.menu = { generation: options.generation ?? 1, paths: options.paths };
    this.workers = options.workers;
    this.geometry = geometry;
    this.slots = buffers.map((buffer) => slotViews(buffer, geometry));
    const workerData: WorkerSetup = {
      geometry,
      slots: buffers,
      models: options.paths.map(({ bundle, threshold }) => ({
        bytes: bundle.model,
        layout: bundle.manifest.input_layout,
        threshold,
      })),
      quantisation: options.quantisation,
      device: options.device,
      loading: this.#loading,
      rows: options.inferenceRows,
    };
    this.#pool = new Piscina<ScoreTask, ScoreResult>({
      filename: new URL('./worker/score.worker.js', import.meta.url).href,
      workerData,
      minThreads: options.workers,
      maxThreads: options.workers,
      concurrentTasksPerWorker: TASKS_PER_WORKER,
      recordTiming: false,
    });
  }

  /** Start the workers and wait until all have loaded their models. Throws USAGE, INPUT_REFUSED or SCORING_FAILED. */
  static async start(options: ScorePoolOptions): Promise<ScorePool> {
    if (options.paths.length === 0) throw new TriggerError('USAGE', 'expected at least one model, received none');
    for (const { name, bundle } of options.paths) {
      if (options.quantisation === 'none' && bundle.manifest.input_layout === 'hw-int16-planar') {
        throw new TriggerError('USAGE', `${name} takes hardware codes: it cannot run with quantise none`);
      }
    }
    const rows = options.inferenceRows;
    const geometry = { capacity: Math.ceil(options.batchEvents / rows) * rows, paths: options.paths.length };
    // and one batch that is being filled
    const count = options.workers * TASKS_PER_WORKER + 1;
    const buffers = Array.from({ length: count }, () => allocateSlot(geometry));
    const pool = new ScorePool(options, geometry, buffers);
    try {
      await pool.#loaded();
    } catch (error) {
      await pool.close();
      throw error;
    }
    return pool;
  }

  async #loaded(): Promise<void> {
    while (Atomics.load(this.#loading, LoadState.done) < this.workers) await sleep(LOAD_POLL_MS);
    if (Atomics.load(this.#loading, LoadState.failed) === 0) return;
    // Any of the failed workers tells why.
    const nothing: ScoreTask = { slot: 0, events: 0, encoding: Encoding.HW32 };
    await Promise.all(Array.from({ length: this.workers }, () => this.score(nothing)));
    throw new TriggerError('SCORING_FAILED', 'a scoring worker could not load its models');
  }

  /** Score a slot; the slot belongs to the worker until the promise settles. Rejects with SCORING_FAILED. */
  score(task: ScoreTask): Promise<ScoreResult> {
    const running = this.#pool.run(task).catch((error: unknown) => {
      if (error instanceof TriggerError) throw error;
      throw new TriggerError('SCORING_FAILED', `a scoring worker failed: ${messageOf(error)}`, { cause: error });
    });
    this.#running.add(running);
    const forget = (): void => {
      this.#running.delete(running);
    };
    running.then(forget, forget);
    return running;
  }

  /**
   * Let running tasks end, then end the workers: a worker terminated while it loads a model or runs one aborts the
   * process.
   */
  async close(): Promise<void> {
    while (Atomics.load(this.#loading, LoadState.done) < this.workers) await sleep(LOAD_POLL_MS);
    await Promise.allSettled(this.#running);
    await this.#pool.destroy();
  }
}
