/**
 * A scoring worker: unpacks a slot's events, runs every path's model on them and compares with the thresholds.
 * One inference session per path; tasks run one after the other.
 */
import { workerData } from 'node:worker_threads';

import { eventFaultCode, quantise, toPhysical, unpackWords } from '../../event/hardware-words.js';
import { CROSSINGS_PER_ORBIT, Encoding, HW32_BYTES, PHYS32_BYTES, VALUES_PER_EVENT } from '../../event/layout.js';
import { ModelSession } from '../../model/session.js';
import {
  HISTOGRAM_BINS,
  histogramBin,
  LoadState,
  slotViews,
  type ScoreResult,
  type ScoreTask,
  type SlotViews,
  type WorkerSetup,
} from '../messages.js';

const CROSSING_FAULT = eventFaultCode('crossing-out-of-range');
const SCORE_FAULT = eventFaultCode('score-not-finite');

class ScoreWorker {
  readonly #setup: WorkerSetup;
  readonly #slots: readonly SlotViews[];
  readonly #sessions: readonly ModelSession[];
  /** Planar codes of one inference batch: the input of every model on the grid. */
  readonly #codes: Int16Array;
  /** The same as physical values, where a model takes those. */
  readonly #values: Float32Array;

  constructor(setup: WorkerSetup, sessions: readonly ModelSession[]) {
    this.#setup = setup;
    this.#slots = setup.slots.map((slot) => slotViews(slot, setup.geometry));
    this.#sessions = sessions;
    this.#codes = new Int16Array(setup.rows * VALUES_PER_EVENT);
    this.#values = new Float32Array(setup.rows * VALUES_PER_EVENT);
  }

  static async create(setup: WorkerSetup): Promise<ScoreWorker> {
    const sessions: ModelSession[] = [];
    for (const model of setup.models) {
      sessions.push(await ModelSession.create(model.bytes, model.layout, setup.rows, setup.device));
    }
    return new ScoreWorker(setup, sessions);
  }

  async score(task: ScoreTask): Promise<ScoreResult> {
    const slot = this.#slots[task.slot]!;
    const accepted: number[] = [];
    const faulty: number[] = [];
    let unpackMs = 0;
    let inferMs = 0;
    let decideMs = 0;
    slot.histograms.fill(0);
    for (let first = 0; first < task.events; first += this.#setup.rows) {
      const events = Math.min(this.#setup.rows, task.events - first);
      const start = performance.now();
      this.#unpack(slot, task.encoding, first, events);
      const unpacked = performance.now();
      for (const session of this.#sessions) await session.run();
      const inferred = performance.now();
      this.#decide(slot, first, events, accepted, faulty);
      unpackMs += unpacked - start;
      inferMs += inferred - unpacked;
      decideMs += performance.now() - inferred;
    }
    return { accepted, faulty, unpackMs, inferMs, decideMs };
  }

  #unpack(slot: SlotViews, encoding: Encoding, first: number, events: number): void {
    const faults = slot.faults.subarray(first, first + events);
    const codes = this.#codes;
    if (encoding === Encoding.HW32) {
      const at = slot.objects.byteOffset + first * HW32_BYTES;
      const words = new Int32Array(slot.objects.buffer, at, (events * HW32_BYTES) / 4);
      unpackWords(words, events, codes, faults);
    } else {
      const at = slot.objects.byteOffset + first * PHYS32_BYTES;
      this.#values.set(new Float32Array(slot.objects.buffer, at, events * VALUES_PER_EVENT));
      quantise(this.#values, events, codes, faults);
    }
    codes.fill(0, events * VALUES_PER_EVENT);
    for (let row = 0; row < events; row++) {
      const crossing = slot.crossings[first + row]!;
      if (crossing < 1 || crossing > CROSSINGS_PER_ORBIT) faults[row] ||= CROSSING_FAULT;
    }
    let physical = false;
    for (const [path, { layout }] of this.#setup.models.entries()) {
      const { input } = this.#sessions[path]!;
      if (layout === 'hw-int16-planar') {
        input.set(codes);
        continue;
      }
      if (!physical) this.#physicalRows(encoding, events, faults);
      physical = true;
      input.set(this.#values);
    }
  }

  /** Leave the batch's physical values in `#values`: on the grid, or as they came where nothing is quantised. */
  #physicalRows(encoding: Encoding, events: number, faults: Uint8Array): void {
    if (encoding === Encoding.HW32 || this.#setup.quantisation === 'hw32') {
      toPhysical(this.#codes, events, this.#values);
    } else {
      for (let row = 0; row < events; row++) {
        if (faults[row] !== 0) this.#values.fill(0, row * VALUES_PER_EVENT, (row + 1) * VALUES_PER_EVENT);
      }
    }
    this.#values.fill(0, events * VALUES_PER_EVENT);
  }

  #decide(slot: SlotViews, first: number, events: number, accepted: number[], faulty: number[]): void {
    const { models, geometry } = this.#setup;
    const { faults } = slot;
    for (const [path, session] of this.#sessions.entries()) {
      const { scores } = session;
      const bits = new Int32Array(scores.buffer);
      const bins = slot.histograms.subarray(path * HISTOGRAM_BINS, (path + 1) * HISTOGRAM_BINS);
      slot.scores.set(scores.subarray(0, events), path * geometry.capacity + first);
      for (let row = 0; row < events; row++) {
        const score = scores[row]!;
        if (faults[first + row] !== 0) continue;
        // x - x is NaN for infinities and NaN alike
        if (score - score !== 0) faults[first + row] = SCORE_FAULT;
        else {
          const bin = histogramBin(bits[row]!);
          bins[bin] = bins[bin]! + 1;
        }
      }
    }
    const single = models.length === 1;
    const threshold = models[0]!.threshold;
    const scores = this.#sessions[0]!.scores;
    for (let row = 0; row < events; row++) {
      if (faults[first + row] !== 0) faulty.push(first + row);
      else if (scores[row]! >= threshold || (!single && this.#anyAccepts(row))) accepted.push(first + row);
    }
  }

  #anyAccepts(row: number): boolean {
    return this.#setup.models.some(({ threshold }, path) => this.#sessions[path]!.scores[row]! >= threshold);
  }
}

type Handler = (task: ScoreTask) => Promise<ScoreResult>;

async function load(setup: WorkerSetup): Promise<Handler> {
  let handler: Handler;
  try {
    const worker = await ScoreWorker.create(setup);
    handler = (task) => worker.score(task);
  } catch (error) {
    // Kept for whoever asks: thrown here it would end the worker, and Piscina would start another for ever.
    handler = () => Promise.reject(error instanceof Error ? error : new Error(String(error)));
    Atomics.add(setup.loading, LoadState.failed, 1);
  }
  Atomics.add(setup.loading, LoadState.done, 1);
  return handler;
}

/** Piscina waits for this promise before it hands the first task to the worker. */
export default load(workerData as WorkerSetup);
