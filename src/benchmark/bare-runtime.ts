/** The bare runtime on arrays that lie ready: what any stream around it is measured against. */
import { InferenceSession, Tensor } from 'onnxruntime-node';

import { VALUES_PER_EVENT } from '../event/layout.js';
import { MODEL_INPUT, MODEL_OUTPUT, type Bundle } from '../model/bundle.js';

/** The fraction of events that the benchmarks' thresholds let pass. */
const ACCEPTED_FRACTION = 1e-4;

/** onnxruntime by itself, one thread, on tensors that lie ready: the limit of scoring. */
export class BareRuntime {
  readonly rows: number;
  readonly scores: Float32Array;
  readonly #session: InferenceSession;
  readonly #feeds: readonly Record<string, Tensor>[];
  readonly #fetches: readonly Record<string, Tensor>[];

  private constructor(session: InferenceSession, codes: Int16Array, rows: number) {
    const count = codes.length / VALUES_PER_EVENT / rows;
    this.rows = rows;
    this.#session = session;
    this.scores = new Float32Array(codes.length / VALUES_PER_EVENT);
    this.#feeds = Array.from({ length: count }, (_, at) => {
      const part = codes.subarray(at * rows * VALUES_PER_EVENT, (at + 1) * rows * VALUES_PER_EVENT);
      return { [MODEL_INPUT]: new Tensor('int16', part, [rows, VALUES_PER_EVENT]) };
    });
    this.#fetches = Array.from({ length: count }, (_, at) => {
      const part = this.scores.subarray(at * rows, (at + 1) * rows);
      return { [MODEL_OUTPUT]: new Tensor('float32', part, [rows]) };
    });
  }

  /** @param rows - events of one call; a divisor of the number of events in `codes` */
  static async create(bundle: Bundle, codes: Int16Array, rows: number): Promise<BareRuntime> {
    const session = await InferenceSession.create(bundle.model, { intraOpNumThreads: 1, interOpNumThreads: 1 });
    return new BareRuntime(session, codes, rows);
  }

  /** Score at least that many events. */
  async run(events: number): Promise<void> {
    for (let call = 0; call * this.rows < events; call++) {
      const at = call % this.#feeds.length;
      await this.#session.run(this.#feeds[at]!, this.#fetches[at]!);
    }
  }

  /** The threshold that one in 10^4 of the events passes. */
  async threshold(): Promise<number> {
    await this.run(this.scores.length);
    const sorted = this.scores.slice().sort();
    return sorted[Math.floor(sorted.length * (1 - ACCEPTED_FRACTION))]!;
  }
}

export const BATCH_SIZES = [512, 1024, 2048, 4096];

/** The bare runtime at the batch size at which it is fastest here. */
export async function bestBareRuntime(bundle: Bundle, codes: Int16Array): Promise<BareRuntime> {
  const runtimes = await Promise.all(BATCH_SIZES.map((rows) => BareRuntime.create(bundle, codes, rows)));
  const best = runtimes.map(() => Infinity);
  for (let repetition = 0; repetition < 5; repetition++) {
    for (const [at, runtime] of runtimes.entries()) {
      const start = performance.now();
      await runtime.run(runtime.scores.length);
      best[at] = Math.min(best[at]!, performance.now() - start);
    }
  }
  return runtimes[best.indexOf(Math.min(...best))]!;
}
