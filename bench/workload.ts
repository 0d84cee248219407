/** What the benchmarks run on: the shipped bundles, plausible events, and the bare runtime that sets the limit. */
import { readdirSync } from 'node:fs';

import { loadSettings } from '#nae/config/load.js';
import type { Settings } from '#nae/config/options.js';
import { encodeFrame, type L1Frame } from '#nae/event/frame.js';
import { VALUES_PER_EVENT } from '#nae/event/layout.js';
import { loadBundle, MODEL_INPUT, MODEL_OUTPUT, type Bundle } from '#nae/model/bundle.js';
import { InferenceSession, Tensor } from 'onnxruntime-node';

import { frameOf, plausibleCodes } from '../test/pipeline/events.js';

const BUNDLES = new URL('../../models/bundles/', import.meta.url);

/** Events of a frame, which is what a replay sends unless told otherwise. */
export const FRAME_EVENTS = 4096;

/** Distinct events; streams repeat them, with other orbits. */
const DISTINCT_FRAMES = 32;
export const DISTINCT_EVENTS = DISTINCT_FRAMES * FRAME_EVENTS;

/** The fraction of events that the benchmarks' thresholds let pass. */
const ACCEPTED_FRACTION = 1e-4;

export interface SizedBundle {
  readonly size: 's' | 'm';
  readonly name: string;
  readonly bundle: Bundle;
}

/** The shipped bundles of each size; a normalized autoencoder before a plain one. */
export async function shippedBundles(): Promise<SizedBundle[]> {
  const names = readdirSync(BUNDLES).sort();
  const bundles: SizedBundle[] = [];
  for (const size of ['s', 'm'] as const) {
    const name = names.findLast((one) => one.endsWith(`-${size}`));
    if (name === undefined) throw new Error(`${BUNDLES.pathname}: expected a bundle named *-${size}`);
    bundles.push({ size, name, bundle: await loadBundle(new URL(name, BUNDLES).pathname) });
  }
  return bundles;
}

/** Planar codes [DISTINCT_EVENTS, 57]. */
export function distinctCodes(): Int16Array {
  return plausibleCodes(DISTINCT_EVENTS, 40);
}

/** At least `events` HW32 events in frames of {@link FRAME_EVENTS}, a new orbit with each. */
export function* frames(codes: Int16Array, events: number): Generator<L1Frame> {
  const size = FRAME_EVENTS * VALUES_PER_EVENT;
  const distinct = Array.from({ length: DISTINCT_FRAMES }, (_, at) =>
    frameOf(codes.subarray(at * size, (at + 1) * size)),
  );
  for (let orbit = 0; orbit * FRAME_EVENTS < events; orbit++) yield { ...distinct[orbit % DISTINCT_FRAMES]!, orbit };
}

export function* encodedFrames(codes: Int16Array, events: number): Generator<{ orbit: number; bytes: Uint8Array }> {
  for (const frame of frames(codes, events)) yield { orbit: frame.orbit, bytes: encodeFrame(frame) };
}

type StreamOption = 'batchEvents' | 'inferenceRows' | 'maxBatchDelayUs' | 'maxFrameBytes' | 'maxInFlightBytes';

/** What `nae-trigger run` takes where nothing is said. */
export function defaultSettings(): Settings<StreamOption> {
  return loadSettings(['batchEvents', 'inferenceRows', 'maxBatchDelayUs', 'maxFrameBytes', 'maxInFlightBytes'], {});
}

/** onnxruntime by itself, one thread, on tensors that lie ready: the limit of scoring. */
export class BareRuntime {
  readonly rows: number;
  readonly scores: Float32Array;
  readonly #session: InferenceSession;
  readonly #feeds: readonly Record<string, Tensor>[];
  readonly #fetches: readonly Record<string, Tensor>[];

  private constructor(session: InferenceSession, codes: Int16Array, rows: number) {
    const count = DISTINCT_EVENTS / rows;
    this.rows = rows;
    this.#session = session;
    this.scores = new Float32Array(DISTINCT_EVENTS);
    this.#feeds = Array.from({ length: count }, (_, at) => {
      const part = codes.subarray(at * rows * VALUES_PER_EVENT, (at + 1) * rows * VALUES_PER_EVENT);
      return { [MODEL_INPUT]: new Tensor('int16', part, [rows, VALUES_PER_EVENT]) };
    });
    this.#fetches = Array.from({ length: count }, (_, at) => {
      const part = this.scores.subarray(at * rows, (at + 1) * rows);
      return { [MODEL_OUTPUT]: new Tensor('float32', part, [rows]) };
    });
  }

  /** @param rows - events of one call; a divisor of {@link DISTINCT_EVENTS} */
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
    await this.run(DISTINCT_EVENTS);
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
      await runtime.run(DISTINCT_EVENTS);
      best[at] = Math.min(best[at]!, performance.now() - start);
    }
  }
  return runtimes[best.indexOf(Math.min(...best))]!;
}
