/**
 * One inference session: created from bytes, checked against the layout it claims, run on fixed-size batches.
 * Used by the workers and, for checks at start, by the main thread.
 */
import { env, InferenceSession, Tensor } from 'onnxruntime-node';

import { messageOf, TriggerError } from '../errors.js';
import { OBJECTS_PER_EVENT, VALUES_PER_EVENT } from '../event/layout.js';
import { MODEL_INPUT, MODEL_OUTPUT, type InputLayout } from './bundle.js';

/** The device that sessions run on; a CUDA device has a number. */
export type Device = { readonly kind: 'cpu' } | { readonly kind: 'cuda'; readonly id: number };

/** Input rows of a layout: planar codes as int16, or physical values as float32. */
export type InputRows = Int16Array | Float32Array;

// What goes wrong is thrown; the runtime's own lines on stderr would only say it twice.
env.logLevel = 'fatal';

const ELEMENT_TYPES = { 'hw-int16-planar': 'int16', 'phys-f32': 'float32' } as const;

/** An array for the inputs of a model: `rows` events of zeros in its layout. */
function inputRows(layout: InputLayout, rows: number): InputRows {
  return layout === 'phys-f32' ? new Float32Array(rows * VALUES_PER_EVENT) : new Int16Array(rows * VALUES_PER_EVENT);
}

/** Fewest rows of a call that a short batch is given instead of all rows. */
const LEAST_CALL_ROWS = 128;

/** What the sizes of calls are compared with: events of any pT, eta and phi, in either layout. */
function probe(at: number): number {
  const code = (at * 7919) % 576;
  return at % VALUES_PER_EVENT < OBJECTS_PER_EVENT ? code : code - 288;
}

/** An inference call: the first `rows` of the session's arrays. */
interface Call {
  readonly rows: number;
  readonly feeds: Record<string, Tensor>;
  readonly fetches: Record<string, Tensor>;
}

/**
 * A session with its input and output arrays. They cannot be views of a SharedArrayBuffer: the runtime refuses
 * tensors over one.
 *
 * A call has all rows, or where there are fewer events half of them, a quarter and so on: those sizes that gave the same
 * bits as all rows when the session was created, so that no score depends on how many events come with it.
 */
export class ModelSession {
  /** Receives `rows` events in the model's layout before each {@link run}. */
  readonly input: InputRows;
  /** Scores of the last run. */
  readonly scores: Float32Array;
  readonly #session: InferenceSession;
  /** From all rows down. */
  readonly #calls: Call[];

  private constructor(session: InferenceSession, layout: InputLayout, rows: number, input: InputRows) {
    this.#session = session;
    this.input = input;
    this.scores = new Float32Array(rows);
    this.#calls = [this.#call(layout, rows)];
  }

  /**
   * Load a model. Throws INPUT_REFUSED where its inputs or outputs are not those of the layout, SCORING_FAILED
   * where the runtime or the device refuses it.
   *
   * @param input - [rows, 57] in the layout; sessions that score the same events may share one
   */
  static async create(
    model: Uint8Array,
    layout: InputLayout,
    rows: number,
    device: Device,
    input: InputRows = inputRows(layout, rows),
  ): Promise<ModelSession> {
    let session: InferenceSession;
    try {
      session = await InferenceSession.create(model, {
        executionProviders: [device.kind === 'cuda' ? { name: 'cuda', deviceId: device.id } : 'cpu'],
        graphOptimizationLevel: 'all',
        // Parallelism is one session per worker; spinning would take the cores the other workers need.
        intraOpNumThreads: 1,
        interOpNumThreads: 1,
        executionMode: 'sequential',
        extra: { session: { intra_op: { allow_spinning: '0' } } },
        logSeverityLevel: 3,
      });
    } catch (error) {
      throw new TriggerError(
        'SCORING_FAILED',
        `the model does not load on ${deviceName(device)}: ${messageOf(error)}`,
        {
          cause: error,
        },
      );
    }
    try {
      checkSignature(session, layout);
    } catch (error) {
      await session.release();
      throw error;
    }
    const created = new ModelSession(session, layout, rows, input);
    try {
      await created.#addShortCalls(layout);
    } catch (error) {
      await session.release();
      const message = `the model does not run on ${deviceName(device)}: ${messageOf(error)}`;
      throw new TriggerError('SCORING_FAILED', message, { cause: error });
    }
    return created;
  }

  /** Rows of the calls that {@link run} makes, from all rows down. */
  get callRows(): readonly number[] {
    return this.#calls.map(({ rows }) => rows);
  }

  /**
   * Score the first `events` rows of {@link input} into {@link scores}; those behind them must hold numbers, which are
   * scored as well or not. Blocks its thread for the time of the inference.
   *
   * @param events - default: all rows
   */
  async run(events = this.scores.length): Promise<void> {
    await this.#run(this.#calls.findLast(({ rows }) => rows >= events)!);
  }

  async #run({ feeds, fetches }: Call): Promise<void> {
    const { [MODEL_OUTPUT]: output } = await this.#session.run(feeds, fetches);
    // The output is written in place; a runtime that did not would leave stale scores behind.
    const expected = fetches[MODEL_OUTPUT]!.data;
    if (output?.data !== expected) this.scores.set(output?.data as Float32Array);
  }

  #call(layout: InputLayout, rows: number): Call {
    const input = this.input.subarray(0, rows * VALUES_PER_EVENT);
    return {
      rows,
      feeds: { [MODEL_INPUT]: new Tensor(ELEMENT_TYPES[layout], input, [rows, VALUES_PER_EVENT]) },
      fetches: { [MODEL_OUTPUT]: new Tensor('float32', this.scores.subarray(0, rows), [rows]) },
    };
  }

  /** Another number of rows can make the runtime take another kernel, and another kernel can round differently. */
  async #addShortCalls(layout: InputLayout): Promise<void> {
    const all = this.scores.length;
    if (all < 2 * LEAST_CALL_ROWS) return;
    for (let at = 0; at < this.input.length; at++) this.input[at] = probe(at);
    await this.run();
    const expected = this.scores.slice();
    for (let rows = all / 2; rows >= LEAST_CALL_ROWS && Number.isInteger(rows); rows /= 2) {
      const call = this.#call(layout, rows);
      const bits = (scores: Float32Array): Buffer => Buffer.from(scores.buffer, scores.byteOffset, 4 * rows);
      // One that the model does not take is not taken.
      const ran = await this.#run(call).then(
        () => true,
        () => false,
      );
      if (ran && bits(this.scores).equals(bits(expected))) this.#calls.push(call);
    }
    this.input.fill(0);
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}

export function deviceName(device: Device): string {
  return device.kind === 'cuda' ? `cuda:${device.id}` : 'cpu';
}

function checkSignature(session: InferenceSession, layout: InputLayout): void {
  const [input] = session.inputMetadata;
  const [output] = session.outputMetadata;
  const found = `inputs ${describe(session.inputMetadata)}, outputs ${describe(session.outputMetadata)}`;
  const expected = `input ${MODEL_INPUT} ${ELEMENT_TYPES[layout]}[N,${VALUES_PER_EVENT}] and output ${MODEL_OUTPUT} float32[N]`;
  const sound =
    session.inputMetadata.length === 1 &&
    session.outputMetadata.length === 1 &&
    input?.name === MODEL_INPUT &&
    input.isTensor &&
    input.type === ELEMENT_TYPES[layout] &&
    input.shape.length === 2 &&
    input.shape[1] === VALUES_PER_EVENT &&
    typeof input.shape[0] !== 'number' &&
    output?.name === MODEL_OUTPUT &&
    output.isTensor &&
    output.type === 'float32' &&
    output.shape.length === 1;
  if (!sound) throw new TriggerError('INPUT_REFUSED', `model.onnx: expected ${expected}, received ${found}`);
}

function describe(metadata: readonly InferenceSession.ValueMetadata[]): string {
  return metadata
    .map((value) => (value.isTensor ? `${value.name} ${value.type}[${value.shape.join(',')}]` : value.name))
    .join(', ');
}
