/**
 * Memory over time: a recording through the whole stream again and again, with a worker per core, and the resident set
 * of the process sampled ten times a second.
 *
 *   npm run bench:memory -- [--events N] [--json FILE]
 *
 * `rss_first_bytes` and `rss_last_bytes` are the largest of the second and of the last tenth of the run (the first one
 * is left to warming up); `slope_bytes` is what a straight line through the samples after the first tenth rises by over
 * 10^9 events, `slope_error_bytes` half of its 95 % interval. Flat: that interval does not lie above 2 % of the mean,
 * and no sample lies above 500 MB; else the exit code is 1. 10^9 events take about five minutes on two cores.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';

import { bestBareRuntime } from '#nae/benchmark/bare-runtime.js';
import { defaultSettings } from '#nae/benchmark/default-settings.js';
import { timed } from '#nae/benchmark/timing.js';
import { Pipeline } from '#nae/pipeline/pipeline.js';
import { createRecording, openRecording } from '#nae/recording/open.js';
import { ScorePool } from '#nae/score/score-pool.js';
import type { Sink } from '#nae/sink/sink.js';
import { RecordingSource } from '#nae/source/recording-source.js';
import type { Intake, Source, SourceRecord } from '#nae/source/source.js';
import { Happenings } from '#nae/telemetry/happenings.js';
import { silentLogger } from '#nae/telemetry/logger.js';
import { Metrics } from '#nae/telemetry/metrics.js';

import { benchArguments, report } from './report.js';
import { fitLine } from './straight-line.js';
import { distinctCodes, frames, shippedBundles } from './workload.js';

const SAMPLE_MS = 100;
/** Over 10^9 events, of the mean. */
const ALLOWED_GROWTH = 0.02;
const ALLOWED_BYTES = 500e6;
const RECORDING_EVENTS = 1 << 22;
const settings = benchArguments({ events: 1_000_000_000 });
const { events } = settings.numbers;
const codes = distinctCodes();
const folder = mkdtempSync(join(tmpdir(), 'nae-trigger-bench-'));
const recording = join(folder, 'events.l1f');

/** A recording from its beginning again whenever it has come to its end. */
class LoopedSource implements Source {
  readonly name = 'looped';
  readonly #rounds: number;
  #round: RecordingSource | undefined;

  constructor(rounds: number) {
    this.#rounds = rounds;
  }

  async run(intake: Intake, stop: AbortSignal): Promise<void> {
    for (let round = 0; round < this.#rounds; round++) {
      const former = this.#round;
      this.#round = new RecordingSource(await openRecording(recording));
      await former?.close();
      await this.#round.run(intake, stop);
    }
  }

  finished(record: SourceRecord): void {
    this.#round!.finished(record);
  }

  async close(): Promise<void> {
    await this.#round?.close();
  }
}

const nowhere: Sink = {
  name: 'nowhere',
  write: () => Promise.resolve(),
  close: () => Promise.resolve(),
};

interface Sample {
  readonly events: number;
  readonly rss: number;
}

try {
  const writer = await createRecording(recording, { header: { labelNames: new Map(), provenance: new Map() } });
  for (const frame of frames(codes, Math.min(events, RECORDING_EVENTS))) await writer.write(frame);
  await writer.close();
  const [{ size, name, bundle }] = (await shippedBundles()) as [Awaited<ReturnType<typeof shippedBundles>>[number]];
  const threshold = await (await bestBareRuntime(bundle, codes)).threshold();
  const { batchEvents, inferenceRows, maxFrameBytes, maxInFlightBytes, maxBatchDelayUs } = defaultSettings();
  const pool = await ScorePool.start({
    paths: [{ name, bundle, threshold }],
    workers: availableParallelism(),
    device: { kind: 'cpu' },
    quantisation: 'hw32',
    batchEvents,
    inferenceRows,
  });
  const source = new LoopedSource(Math.ceil(events / RECORDING_EVENTS));
  const pipeline = new Pipeline(source, pool, nowhere, new Happenings(silentLogger(), new Metrics()), {
    limits: { maxFrameBytes },
    maxInFlightBytes,
    maxBatchDelayMs: maxBatchDelayUs / 1000,
  });
  const samples: Sample[] = [];
  const timer = setInterval(() => {
    samples.push({ events: pipeline.totals.events.received, rss: process.memoryUsage.rss() });
  }, SAMPLE_MS);
  const { seconds, cpuSeconds } = await timed(() => pipeline.run(new AbortController().signal));
  clearInterval(timer);
  await source.close();
  await pool.close();
  const { received } = pipeline.totals.events;
  const within = (from: number, to: number): Sample[] =>
    samples.filter((sample) => sample.events >= from * received && sample.events <= to * received);
  const largest = (some: readonly Sample[]): number => Math.max(...some.map(({ rss }) => rss));
  const fitted = within(0.1, 1);
  const line = fitLine(
    fitted.map((sample) => sample.events),
    fitted.map(({ rss }) => rss),
  );
  console.log('\nevents [10^6], smallest and largest RSS [MB]');
  for (let tenth = 0; tenth < 10; tenth++) {
    const rss = within(tenth / 10, (tenth + 1) / 10).map((sample) => sample.rss / 1e6);
    const upTo = ((tenth + 1) * received) / 1e7;
    console.log(`${upTo.toFixed(0).padStart(6)} ${Math.min(...rss).toFixed(0)} ${Math.max(...rss).toFixed(0)}`);
  }
  const isFlat = (line.slope - line.error) * 1e9 <= ALLOWED_GROWTH * line.mean && largest(samples) < ALLOWED_BYTES;
  console.log(isFlat ? 'Flat.' : 'Not flat.');
  if (!isFlat) process.exitCode = 1;
  report('memory', settings, [
    {
      size,
      events: received,
      seconds,
      events_per_second: received / seconds,
      events_per_cpu_second: received / cpuSeconds,
      rss_bytes: largest(samples),
      rss_first_bytes: largest(within(0.1, 0.2)),
      rss_last_bytes: largest(within(0.9, 1)),
      slope_bytes: line.slope * 1e9,
      slope_error_bytes: line.error * 1e9,
      verdict: isFlat ? 'flat' : 'not flat',
    },
  ]);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
