/** A source and a sink in memory, and a stream between them with real workers and models. */
import { fileURLToPath } from 'node:url';

import type { AcceptedEvent, DeadLetter } from '#nae/event/accepted-event.js';
import { DEFAULT_FRAME_LIMITS, encodeFrame, type L1Frame } from '#nae/event/frame.js';
import { loadBundle } from '#nae/model/bundle.js';
import { Pipeline, type PipelineOptions, type ScoredFrame } from '#nae/pipeline/pipeline.js';
import type { Path } from '#nae/score/menu.js';
import { ScorePool, type ScorePoolOptions } from '#nae/score/score-pool.js';
import type { Delivery, Sink } from '#nae/sink/sink.js';
import type { Intake, Source, SourceRecord } from '#nae/source/source.js';
import { Happenings } from '#nae/telemetry/happenings.js';
import { silentLogger } from '#nae/telemetry/logger.js';
import { Metrics } from '#nae/telemetry/metrics.js';

export const BUNDLES = fileURLToPath(new URL('../../models/bundles/', import.meta.url));

export async function path(bundle: string, threshold: number, name = bundle): Promise<Path> {
  return { name, bundle: await loadBundle(`${BUNDLES}${bundle}`), threshold: Math.fround(threshold) };
}

export function record(bytes: Uint8Array | null, offset: number, partition = 0): SourceRecord {
  return { position: { source: 'memory', partition, offset: BigInt(offset) }, bytes, availableUnixMs: undefined };
}

export function records(frames: readonly L1Frame[]): SourceRecord[] {
  return frames.map((frame, number) => record(encodeFrame(frame), number));
}

export class MemorySource implements Source {
  readonly name = 'memory';
  readonly acknowledged: SourceRecord[] = [];
  offered = 0;
  readonly #records: readonly SourceRecord[];

  constructor(of: readonly SourceRecord[]) {
    this.#records = of;
  }

  async run(intake: Intake, stop: AbortSignal): Promise<void> {
    for (const next of this.#records) {
      if (stop.aborted) return;
      this.offered++;
      const full = intake.offer(next);
      if (full !== undefined) await full;
    }
  }

  finished(of: SourceRecord): void {
    this.acknowledged.push(of);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Calls back before the record of a number is offered, and waits for what that returns. */
export class WatchedSource extends MemorySource {
  readonly #before: (number: number) => Promise<void> | undefined;

  constructor(of: readonly SourceRecord[], before: (number: number) => Promise<void> | undefined) {
    super(of);
    this.#before = before;
  }

  override run(intake: Intake, stop: AbortSignal): Promise<void> {
    let number = 0;
    const offer = (next: SourceRecord): Promise<void> | undefined => {
      const waits = this.#before(number++);
      return waits === undefined ? intake.offer(next) : waits.then(() => intake.offer(next));
    };
    return super.run({ offer, idle: intake.idle.bind(intake) }, stop);
  }
}

export class MemorySink implements Sink {
  readonly name = 'memory';
  readonly accepted: AcceptedEvent[] = [];
  readonly deadLetters: DeadLetter[] = [];
  /** Called at each write; may wait or throw. */
  readonly #onWrite: (delivery: Delivery) => Promise<void>;
  readonly writeIntervalMs: number;

  constructor(onWrite: (delivery: Delivery) => Promise<void> = () => Promise.resolve(), writeIntervalMs = 0) {
    this.#onWrite = onWrite;
    this.writeIntervalMs = writeIntervalMs;
  }

  async write(delivery: Delivery): Promise<void> {
    await this.#onWrite(delivery);
    // The memory belongs to the source again once this has settled.
    this.accepted.push(...delivery.accepted.map((event) => ({ ...event, objects: new Uint8Array(event.objects) })));
    this.deadLetters.push(
      ...delivery.deadLetters.map((letter) => ({ ...letter, bytes: new Uint8Array(letter.bytes) })),
    );
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

export interface MemoryRun {
  readonly pipeline: Pipeline;
  readonly source: MemorySource;
  readonly sink: MemorySink;
  readonly metrics: Metrics;
  readonly scored: readonly ScoredFrame[];
}

export interface MemoryRunOptions extends Partial<PipelineOptions>, Partial<ScorePoolOptions> {
  readonly sink?: MemorySink;
  readonly stop?: AbortSignal;
  readonly source?: MemorySource;
}

/** Run records through a pipeline; what fails is thrown after the workers have ended. */
export async function runRecords(
  input: readonly SourceRecord[],
  paths: readonly Path[],
  options: MemoryRunOptions = {},
): Promise<MemoryRun> {
  const pool = await ScorePool.start({
    workers: 1,
    device: { kind: 'cpu' },
    quantisation: 'hw32',
    batchEvents: 256,
    inferenceRows: 64,
    ...options,
    paths,
  });
  const source = options.source ?? new MemorySource(input);
  const sink = options.sink ?? new MemorySink();
  const metrics = new Metrics();
  const scored: ScoredFrame[] = [];
  const pipeline = new Pipeline(source, pool, sink, new Happenings(silentLogger(), metrics), {
    limits: DEFAULT_FRAME_LIMITS,
    maxInFlightBytes: 64 * 1024 * 1024,
    maxBatchDelayMs: 1,
    onScores: (frame) => scored.push(frame),
    ...options,
  });
  try {
    await pipeline.run(options.stop ?? new AbortController().signal);
  } finally {
    await pool.close();
  }
  return { pipeline, source, sink, metrics, scored };
}

/** All scores of a run's first path, frame after frame. */
export function allScores({ scored }: MemoryRun): Float32Array {
  return Float32Array.from(scored.flatMap(({ scores, wire }) => [...scores.subarray(0, wire.eventCount)]));
}
