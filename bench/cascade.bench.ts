/**
 * Recording → decision with and without the student in front of a model, one scoring worker, in turn in this process, on
 * the shipped recording: how many survive is a matter of the events.
 *
 *   npm run bench:cascade -- [--repetitions N] [--json FILE]
 *
 * `gain_cpu` is events per CPU-second with the student over those without, `gain` the same of events per second: medians
 * over the pairs, with the smallest and the largest. `lost` counts events that are accepted without the student alone.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { defaultSettings } from '#nae/benchmark/default-settings.js';
import { median, timed, type Timed } from '#nae/benchmark/timing.js';
import { calibratedThreshold } from '#nae/decide/threshold.js';
import { loadBundle } from '#nae/model/bundle.js';
import { loadStudent } from '#nae/model/student.js';
import { Pipeline } from '#nae/pipeline/pipeline.js';
import { convertRecording } from '#nae/recording/convert.js';
import { openRecording } from '#nae/recording/open.js';
import type { Path } from '#nae/score/menu.js';
import { ScorePool } from '#nae/score/score-pool.js';
import { RecordingSource } from '#nae/source/recording-source.js';
import { Happenings } from '#nae/telemetry/happenings.js';
import { silentLogger } from '#nae/telemetry/logger.js';
import { Metrics } from '#nae/telemetry/metrics.js';

import { MemorySink } from '../test/pipeline/memory-stream.js';
import { benchArguments, report } from './report.js';

const TEACHERS = ['nae-events-s', 'nae-events-m'];
const TARGET_RATE = 1e-4;
/** The recording is short: one run goes over it so often. */
const PASSES = 4;

const settings = benchArguments({ repetitions: 7 });
const models = (path: string): string => fileURLToPath(new URL(`../../models/${path}`, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'nae-trigger-bench-'));
const recording = join(folder, 'events.l1f');

interface Run extends Timed {
  readonly events: number;
  readonly accepted: number;
  readonly rejectedByStudent: number;
}

async function run(pool: ScorePool): Promise<Run> {
  const stream = defaultSettings();
  const totals: Pipeline['totals'][] = [];
  const time = await timed(async () => {
    for (let pass = 0; pass < PASSES; pass++) {
      const source = new RecordingSource(await openRecording(recording));
      const happenings = new Happenings(silentLogger(), new Metrics());
      const pipeline = new Pipeline(source, pool, new MemorySink(), happenings, {
        limits: { maxFrameBytes: stream.maxFrameBytes },
        maxInFlightBytes: stream.maxInFlightBytes,
        maxBatchDelayMs: stream.maxBatchDelayUs / 1000,
      });
      await pipeline.run(new AbortController().signal);
      await source.close();
      totals.push(pipeline.totals);
    }
  });
  const { events, paths } = totals[0]!.summary();
  const rejectedByStudent = paths[0]!.rejected_by_student ?? 0;
  return { ...time, events: PASSES * events.received, accepted: events.accepted, rejectedByStudent };
}

async function measure(name: string): Promise<Record<string, string | number>> {
  const bundle = await loadBundle(models(`bundles/${name}`));
  const { threshold } = calibratedThreshold(bundle, TARGET_RATE, 'hw32');
  const alone: Path = { name, bundle, threshold };
  const { batchEvents, inferenceRows } = defaultSettings();
  const open = (path: Path): Promise<ScorePool> =>
    ScorePool.start({
      paths: [path],
      workers: 1,
      device: { kind: 'cpu' },
      quantisation: 'hw32',
      batchEvents,
      inferenceRows,
    });
  const pools = [await open(alone), await open({ ...alone, student: await loadStudent(bundle) })] as const;
  const pairs: { plain: Run; cascade: Run }[] = [];
  try {
    for (const pool of pools) await run(pool);
    for (let repetition = 0; repetition < settings.numbers.repetitions; repetition++) {
      pairs.push({ plain: await run(pools[0]), cascade: await run(pools[1]) });
    }
  } finally {
    for (const pool of pools) await pool.close();
  }
  const gains = pairs.map(({ plain, cascade }) => plain.cpuSeconds / cascade.cpuSeconds);
  const { plain, cascade } = pairs[0]!;
  return {
    model: name,
    gain_cpu: median(gains),
    gain_cpu_smallest: Math.min(...gains),
    gain_cpu_largest: Math.max(...gains),
    gain: median(pairs.map((pair) => pair.plain.seconds / pair.cascade.seconds)),
    events_per_cpu_second: median(pairs.map((pair) => pair.plain.events / pair.plain.cpuSeconds)),
    cascade_events_per_cpu_second: median(pairs.map((pair) => pair.cascade.events / pair.cascade.cpuSeconds)),
    survivors: 1 - (cascade.rejectedByStudent * PASSES) / cascade.events,
    accepted: plain.accepted,
    lost: plain.accepted - cascade.accepted,
  };
}

try {
  await convertRecording(models('recordings/sample.l1f.zst'), recording, { encoding: 'keep', overwrite: false });
  const rows: Record<string, string | number>[] = [];
  for (const teacher of TEACHERS) rows.push(await measure(teacher));
  report('cascade', settings, rows);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
