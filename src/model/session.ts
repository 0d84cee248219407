/**
 * One inference session: created from bytes, checked against the layout it claims, run on fixed-size batches.
 * Used by the workers and, for checks at start, by the main thread.
 */
import { env, InferenceSession, Tensor } from 'onnxruntime-node';

import { messageOf, TriggerError } from '../errors.js';
import { VALUES_PER_EVENT } from '../event/layout.js';
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

/**
 * A session with its input and output arrays. They cannot be views of a SharedArrayBuffer: the runtime refuses
 * tensors over one.
 */
export class ModelSession {
  /** Receives `rows` events in the model's layout before each {@link run}. */
  readonly input: InputRows;
  /** Scores of the last run. */
  readonly scores: Float32Array;
  readonly #session: InferenceSession;
  readonly #feeds: Record<string, Tensor>;
  readonly #fetches: Record<string, Tensor>;

  private constructor(session: InferenceSession, layout: InputLayout, rows: number, input: InputRows) {
    this.#session = session;
    this.input = input;
    this.scores = new Float32Array(rows);
    this.#feeds = { [MODEL_INPUT]: new Tensor(ELEMENT_TYPES[layout], this.input, [rows, VALUES_PER_EVENT]) };
    this.#fetches = { [MODEL_OUTPUT]: new Tensor('float32', this.scores, [rows]) };
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
    return new ModelSession(session, layout, rows, input);
  }

  /** Score the rows of {@link input} into {@link scores}. Blocks its thread for the time of the inference. */
  async run(): Promise<void> {
    const { [MODEL_OUTPUT]: output } = await this.#session.run(this.#feeds, this.#fetches);
    // The output is written in place; a runtime that did not would leave stale scores behind.
    if (output?.data !== this.scores) this.scores.set(output?.data as Float32Array);
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
