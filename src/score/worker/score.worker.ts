/**
 * A scoring worker: unpacks a slot's events, runs every path's model on them and compares with the thresholds.
 * One inference session per path. Tasks run one after the other; while one runs the next already waits here, so that
 * no time goes by between them.
 */
import { workerData } from 'node:worker_threads';

import { eventFaultCode, quantise, toPhysical } from '../../event/hardware-words.js';
import { Encoding, HW32_BYTES, isBunchCrossing, PHYS32_BYTES, VALUES_PER_EVENT } from '../../event/layout.js';
import { WordUnpacker } from '../../event/word-unpacker.js';
import { scoreParity } from '../../model/parity.js';
import type { InputLayout } from '../../model/bundle.js';
import { deviceName, ModelSession, type InputRows } from '../../model/session.js';
import {
  HISTOGRAM_BINS,
  slotViews,
  type LoadedModel,
  type ScoreResult,
  type ScoreTask,
  type SlotViews,
  type WorkerSetup,
} from '../messages.js';
import { Cascade, TEACHER_ROWS, type Scorer } from './cascade.js';
import { Decider, type Decided } from './decide.js';
import { ObjectCursor } from './object-cursor.js';

const CROSSING_FAULT = eventFaultCode('crossing-out-of-range');

class ScoreWorker {
  readonly #setup: WorkerSetup;
  readonly #slots: readonly SlotViews[];
  /** One per path. */
  readonly #scorers: readonly Scorer[];
  /** Its codes, those of one inference call, are the input of every model on the grid. */
  readonly #unpacker: WordUnpacker;
  /** The same events as physical values: the input of every model that takes those. */
  readonly #values: Float32Array;
  readonly #needsValues: boolean;
  /** Rows of the inputs that may not be zero. */
  #used = 0;
  readonly #decider: Decider;
  /** Settles when the task that was handed over last is scored. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(setup: WorkerSetup, scorers: readonly Scorer[], unpacker: WordUnpacker, values: Float32Array) {
    this.#setup = setup;
    this.#slots = setup.slots.map((slot) => slotViews(slot, setup.geometry));
    this.#scorers = scorers;
    this.#unpacker = unpacker;
    this.#values = values;
    this.#needsValues = setup.models.some(({ layout, student }) => [layout, student?.layout].includes('phys-f32'));
    this.#decider = new Decider(
      scorers.map(({ scores }, path) => ({ scores, threshold: setup.models[path]!.threshold })),
      setup.rows,
    );
  }

  static async create(setup: WorkerSetup): Promise<ScoreWorker> {
    const { rows, device } = setup;
    const unpacker = new WordUnpacker(rows);
    const values = new Float32Array(rows * VALUES_PER_EVENT);
    const inputsOf = (layout: InputLayout): InputRows => (layout === 'phys-f32' ? values : unpacker.codes);
    const load = async (model: LoadedModel, sessionRows: number, input?: InputRows): Promise<ModelSession> => {
      const { bytes, layout, parity, directory } = model;
      const session = await ModelSession.create(bytes, layout, sessionRows, device, input);
      if (parity !== undefined) {
        await scoreParity(session, sessionRows, parity, `${directory!}/parity.json`, deviceName(device));
      }
      return session;
    };
    const scorers: Scorer[] = [];
    for (const model of setup.models) {
      const { student, layout } = model;
      if (student === undefined) {
        scorers.push(await load(model, rows, inputsOf(layout)));
      } else {
        const first = await load(student, rows, inputsOf(student.layout));
        scorers.push(new Cascade(first, student.cut, await load(model, TEACHER_ROWS), inputsOf(layout)));
      }
    }
    return new ScoreWorker(setup, scorers, unpacker, values);
  }

  /** Score a task's events, after those of the tasks before it. */
  score(task: ScoreTask): Promise<ScoreResult> {
    const scored = this.#last.then(() => this.#score(task));
    this.#last = scored.catch(() => undefined);
    return scored;
  }

  async #score(task: ScoreTask): Promise<ScoreResult> {
    const { rows, geometry } = this.#setup;
    const slot = this.#slots[task.slot]!;
    const decided: Decided = { accepted: [], faulty: [] };
    let unpackMs = 0;
    let inferMs = 0;
    let decideMs = 0;
    this.#decider.reset();
    const objects = new ObjectCursor(task.pieces, slot.objects);
    for (let first = 0; first < task.events; first += rows) {
      const events = Math.min(rows, task.events - first);
      const start = performance.now();
      this.#unpack(slot, objects, task.encoding, first, events);
      const unpacked = performance.now();
      const faults = this.#unpacker.faults.subarray(0, events);
      for (const scorer of this.#scorers) await scorer.run(events, faults);
      const inferred = performance.now();
      this.#decider.decide(events, faults, first, decided);
      slot.faults.set(faults, first);
      for (const [path, { scores }] of this.#scorers.entries()) {
        slot.scores.set(scores.subarray(0, events), path * geometry.capacity + first);
      }
      unpackMs += unpacked - start;
      inferMs += inferred - unpacked;
      decideMs += performance.now() - inferred;
    }
    for (const [path, histogram] of this.#decider.histograms.entries()) {
      slot.histograms.set(histogram, path * HISTOGRAM_BINS);
    }
    const rejectedByStudent = this.#scorers.map((one) => (one instanceof Cascade ? one.takeRejected() : 0));
    return { ...decided, rejectedByStudent, unpackMs, inferMs, decideMs };
  }

  /** Bring the events into the inputs of the models. */
  #unpack(slot: SlotViews, objects: ObjectCursor, encoding: Encoding, first: number, events: number): void {
    const { codes, faults } = this.#unpacker;
    if (encoding === Encoding.HW32) {
      for (let row = 0; row < events;) {
        const next = objects.take(events - row);
        this.#unpacker.unpack(next, row);
        row += next.length / HW32_BYTES;
      }
    } else {
      const at = slot.objects.byteOffset + first * PHYS32_BYTES;
      this.#values.set(new Float32Array(slot.objects.buffer, at, events * VALUES_PER_EVENT));
      quantise(this.#values, events, codes, faults);
    }
    for (let row = 0; row < events; row++) {
      if (!isBunchCrossing(slot.crossings[first + row]!)) faults[row] ||= CROSSING_FAULT;
    }
    if (this.#needsValues) this.#physicalRows(encoding, events);
    // A call may have more rows than there are events: they are zero, whatever was scored before.
    codes.fill(0, events * VALUES_PER_EVENT, this.#used * VALUES_PER_EVENT);
    this.#values.fill(0, events * VALUES_PER_EVENT, this.#used * VALUES_PER_EVENT);
    this.#used = events;
  }

  /** Leave the batch's physical values in `#values`: on the grid, or as they came where nothing is quantised. */
  #physicalRows(encoding: Encoding, events: number): void {
    const { codes, faults } = this.#unpacker;
    if (encoding === Encoding.HW32 || this.#setup.quantisation === 'hw32') {
      toPhysical(codes, events, this.#values);
    } else {
      for (let row = 0; row < events; row++) {
        if (faults[row] !== 0) this.#values.fill(0, row * VALUES_PER_EVENT, (row + 1) * VALUES_PER_EVENT);
      }
    }
  }
}

type Handler = (task: ScoreTask) => Promise<ScoreResult>;

async function load(setup: WorkerSetup): Promise<Handler> {
  try {
    const worker = await ScoreWorker.create(setup);
    return (task) => worker.score(task);
  } catch (error) {
    // Kept for the pool's first task, which asks whether the models are loaded.
    return () => Promise.reject(error instanceof Error ? error : new Error(String(error)));
  }
}

/** Piscina waits for this promise before it hands the first task to the worker. */
export default load(workerData as WorkerSetup);
