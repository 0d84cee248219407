/**
 * Recording → decision: a recording through the whole stream with one scoring worker, against bare onnxruntime on
 * arrays that lie ready. Both run in this process, in turn, so that what else the machine does hits both; the ratio
 * is the median over the pairs.
 *
 *   npm run bench:recording -- [--events N] [--repetitions N] [--json FILE]
 *
 * `ratio` is events/s of the stream over events/s of the bare runtime at its best batch size; `ratio_cpu` the same
 * per CPU-second of the process, in which the stream's reading thread counts too. `unpack_ns`, `infer_ns` and
 * `decide_ns` are what the worker spends on an event.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { bestBareRuntime } from '#nae/benchmark/bare-runtime.js';
import { defaultSettings } from '#nae/benchmark/default-settings.js';
import { median, timed, type Timed } from '#nae/benchmark/timing.js';
import { Pipeline } from '#nae/pipeline/pipeline.js';
import { createRecording, openRecording } from '#nae/recording/open.js';
import { ScorePool } from '#nae/score/score-pool.js';
import { RecordingSource } from '#nae/source/recording-source.js';
import { Happenings } from '#nae/telemetry/happenings.js';
import { silentLogger } from '#nae/telemetry/logger.js';
import { Metrics } from '#nae/telemetry/metrics.js';

import { MemorySink } from '../test/pipeline/memory-stream.js';
import { benchArguments, report } from './report.js';
import { distinctCodes, frames, shippedBundles, type SizedBundle } from './workload.js';

const settings = benchArguments({ events: 1 << 20, repetitions: 7 });
const { events, repetitions } = settings.numbers;
const codes = distinctCodes();
const folder = mkdtempSync(join(tmpdir(), 'nae-trigger-bench-'));
const recording = join(folder, 'events.l1f');

interface StreamRun extends Timed {
  /** Time of the worker in each stage [s]. */
  readonly stages: Readonly<Record<string, number>>;
}

async function runStream(pool: ScorePool): Promise<StreamRun> {
  const stream = defaultSettings();
  const metrics = new Metrics();
  const source = new RecordingSource(await openRecording(recording));
  const pipeline = new Pipeline(source, pool, new MemorySink(), new Happenings(silentLogger(), metrics), {
    limits: { maxFrameBytes: stream.maxFrameBytes },
    maxInFlightBytes: stream.maxInFlightBytes,
    maxBatchDelayMs: stream.maxBatchDelayUs / 1000,
  });
  const time = await timed(() => pipeline.run(new AbortController().signal));
  await source.close();
  const { values } = await metrics.stageSeconds.get();
  const sums = values.filter(({ metricName }) => metricName?.endsWith('_sum') === true);
  return { ...time, stages: Object.fromEntries(sums.map(({ labels, value }) => [String(labels.stage), value])) };
}

async function measure({ size, name, bundle }: SizedBundle): Promise<Record<string, string | number>> {
  const bare = await bestBareRuntime(bundle, codes);
  const { batchEvents, inferenceRows } = defaultSettings();
  const pool = await ScorePool.start({
    paths: [{ name, bundle, threshold: await bare.threshold() }],
    workers: 1,
    device: { kind: 'cpu' },
    quantisation: 'hw32',
    batchEvents,
    inferenceRows,
  });
  const pairs: { stream: StreamRun; limit: Timed }[] = [];
  try {
    await runStream(pool);
    for (let repetition = 0; repetition < repetitions; repetition++) {
      pairs.push({ stream: await runStream(pool), limit: await timed(() => bare.run(events)) });
    }
  } finally {
    await pool.close();
  }
  const over = (value: (pair: { stream: StreamRun; limit: Timed }) => number): number => median(pairs.map(value));
  const stageNs = (stage: string): number => over(({ stream }) => (stream.stages[stage]! / events) * 1e9);
  return {
    size,
    bundle: name,
    ratio: over(({ stream, limit }) => limit.seconds / stream.seconds),
    ratio_cpu: over(({ stream, limit }) => limit.cpuSeconds / stream.cpuSeconds),
    events_per_second: over(({ stream }) => events / stream.seconds),
    events_per_cpu_second: over(({ stream }) => events / stream.cpuSeconds),
    bare_events_per_second: over(({ limit }) => events / limit.seconds),
    bare_events_per_cpu_second: over(({ limit }) => events / limit.cpuSeconds),
    bare_batch: bare.rows,
    unpack_ns: stageNs('unpack'),
    infer_ns: stageNs('infer'),
    decide_ns: stageNs('decide'),
  };
}

try {
  const writer = await createRecording(recording, { header: { labelNames: new Map(), provenance: new Map() } });
  for (const frame of frames(codes, events)) await writer.write(frame);
  await writer.close();
  const rows: Record<string, string | number>[] = [];
  for (const bundle of await shippedBundles()) rows.push(await measure(bundle));
  report('recording-to-decision', settings, rows);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
