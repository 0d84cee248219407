/**
 * The pool of scoring workers and the slots that carry batches to them.
 */
import { Piscina } from 'piscina';

import { messageOf, TriggerError } from '../errors.js';
import type { Bundle, Quantisation } from '../model/bundle.js';
import type { Device } from '../model/session.js';
import {
  allocateSlot,
  slotViews,
  type ScoreResult,
  type ScoreTask,
  type SlotGeometry,
  type SlotViews,
  type WorkerSetup,
} from './messages.js';

/** One model with one threshold. */
export interface Path {
  readonly name: string;
  readonly bundle: Bundle;
  /** float32: an event is accepted if score >= threshold. */
  readonly threshold: number;
}

export interface ScorePoolOptions {
  readonly paths: readonly Path[];
  readonly workers: number;
  readonly device: Device;
  readonly quantisation: Quantisation;
  /** HW32 events of a slot, which is what a task carries at most. */
  readonly batchEvents: number;
  /** Rows of one inference call. */
  readonly inferenceRows: number;
}

/** Batches beyond one per worker that are filled while the workers are busy. */
const SPARE_SLOTS_PER_WORKER = 1;

export class ScorePool {
  readonly paths: readonly Path[];
  readonly workers: number;
  readonly geometry: SlotGeometry;
  readonly slots: readonly SlotViews[];
  readonly #pool: Piscina<ScoreTask, ScoreResult>;
  readonly #running = new Set<Promise<ScoreResult>>();

  private constructor(options: ScorePoolOptions, geometry: SlotGeometry, buffers: readonly SharedArrayBuffer[]) {
    this.paths = options.paths;
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
      rows: options.inferenceRows,
    };
    this.#pool = new Piscina<ScoreTask, ScoreResult>({
      filename: new URL('./worker/score.worker.js', import.meta.url).href,
      workerData,
      minThreads: options.workers,
      maxThreads: options.workers,
      concurrentTasksPerWorker: 1,
      recordTiming: false,
    });
  }

  /** Start the workers and wait until one has loaded all models. Throws USAGE, INPUT_REFUSED or SCORING_FAILED. */
  static async start(options: ScorePoolOptions): Promise<ScorePool> {
    if (options.paths.length === 0) throw new TriggerError('USAGE', 'expected at least one model, received none');
    for (const { name, bundle } of options.paths) {
      if (options.quantisation === 'none' && bundle.manifest.input_layout === 'hw-int16-planar') {
        throw new TriggerError('USAGE', `${name} takes hardware codes: it cannot run with quantise none`);
      }
    }
    const rows = options.inferenceRows;
    const geometry = { capacity: Math.ceil(options.batchEvents / rows) * rows, paths: options.paths.length };
    const count = options.workers * (1 + SPARE_SLOTS_PER_WORKER) + 1;
    const buffers = Array.from({ length: count }, () => allocateSlot(geometry));
    const pool = new ScorePool(options, geometry, buffers);
    try {
      await pool.score({ slot: 0, events: 0, encoding: 1 });
    } catch (error) {
      await pool.close();
      throw error;
    }
    return pool;
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

  /** Let running tasks end, then end the workers: a worker terminated inside an inference aborts the process. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#running);
    await this.#pool.destroy();
  }
}
