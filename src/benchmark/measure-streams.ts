/** The measurements of the 40 MHz report that need no Kafka. */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Bundle } from '../model/bundle.js';
import { createRecording, openRecording } from '../recording/open.js';
import { ScorePool } from '../score/score-pool.js';
import { RecordingSource } from '../source/recording-source.js';
import { bestBareRuntime } from './bare-runtime.js';
import { defaultSettings, type StreamSettings } from './default-settings.js';
import type { Quantiles, StageQuantiles } from './latency-probe.js';
import { memoryFeed, PacedSource, recordingFeed } from './paced-source.js';
import { encoded, framesOf, runThrough, type StreamRun, type Workload } from './streams.js';
import { median, repeated, spread, timed, type Repetitions, type Spread, type Timed } from './timing.js';

/** Events of a frame where nothing is said: what a replay sends. */
export const FRAME_EVENTS = 4096;
/** Frames and inference calls of the latency runs: small, because a frame is decided as a whole. */
const LATENCY_FRAME_EVENTS = 512;
/** Light load first, at which the floor shows. */
const LOADS = [0.2, 0.25, 0.5, 0.75, 0.9] as const;

/** How long one run is to take [s], about. */
const RUN_SECONDS = 0.5;
const LATENCY_SECONDS = 4;
/** A stream that waits for frames runs other code than one that is full, and compiles it. */
const PACED_WARM_UP_SECONDS = 2;

export interface RecordingResult {
  /** Median, smallest and largest of stream over bare runtime, in events per second and per CPU-second. */
  readonly ratio: Spread;
  readonly ratioCpu: Spread;
  readonly eventsPerSecond: number;
  readonly eventsPerCpuSecond: number;
  readonly bareEventsPerSecond: number;
  readonly bareBatch: number;
  readonly threshold: number;
  /** Nanoseconds per event in each stage. */
  readonly stageNs: Readonly<Record<string, number>>;
}

async function startPool(
  bundle: Bundle,
  threshold: number,
  workers: number,
  changes: Partial<StreamSettings> = {},
): Promise<ScorePool> {
  const { batchEvents, inferenceRows } = { ...defaultSettings(), ...changes };
  return ScorePool.start({
    paths: [{ name: 'benchmark', bundle, threshold }],
    workers,
    device: { kind: 'cpu' },
    quantisation: 'hw32',
    batchEvents,
    inferenceRows,
  });
}

/** Whole frames for `seconds` at a rate. */
function eventsFor(seconds: number, eventsPerSecond: number): number {
  return FRAME_EVENTS * Math.max(32, Math.round((seconds * eventsPerSecond) / FRAME_EVENTS));
}

/** Recording to decision with one worker, and the bare runtime, in turn in this process. */
export async function measureRecording(
  bundle: Bundle,
  workload: Workload,
  repetitions: Repetitions,
): Promise<RecordingResult> {
  const folder = await mkdtemp(join(tmpdir(), 'nae-trigger-benchmark-'));
  const path = join(folder, 'events.l1f');
  const bare = await bestBareRuntime(bundle, workload.codes);
  const { seconds } = await timed(() => bare.run(workload.events));
  const events = eventsFor(RUN_SECONDS, workload.events / seconds);
  const threshold = await bare.threshold();
  const pool = await startPool(bundle, threshold, 1);
  try {
    await writeRecording(path, workload, FRAME_EVENTS, events);
    const once = async (): Promise<StreamRun> => runThrough(new RecordingSource(await openRecording(path)), pool);
    await once();
    const pairs = await repeated(repetitions, async (): Promise<{ stream: StreamRun; limit: Timed }> => {
      return { stream: await once(), limit: await timed(() => bare.run(events)) };
    });
    const over = (value: (pair: (typeof pairs)[number]) => number): number => median(pairs.map(value));
    const stages = Object.keys(pairs[0]!.stream.stages).filter((stage) => stage !== 'queue');
    const stageNs = stages.map((stage): [string, number] => [
      stage,
      over(({ stream }) => (stream.stages[stage]! / events) * 1e9),
    ]);
    return {
      ratio: spread(pairs.map(({ stream, limit }) => limit.seconds / stream.seconds)),
      ratioCpu: spread(pairs.map(({ stream, limit }) => limit.cpuSeconds / stream.cpuSeconds)),
      eventsPerSecond: over(({ stream }) => events / stream.seconds),
      eventsPerCpuSecond: over(({ stream }) => events / stream.cpuSeconds),
      bareEventsPerSecond: over(({ limit }) => events / limit.seconds),
      bareBatch: bare.rows,
      threshold,
      stageNs: { ...Object.fromEntries(stageNs), all: over(({ stream }) => (stream.cpuSeconds / events) * 1e9) },
    };
  } finally {
    await pool.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function writeRecording(path: string, workload: Workload, frameEvents: number, events: number): Promise<void> {
  const writer = await createRecording(path, { header: { labelNames: new Map(), provenance: new Map() } });
  for (const frame of framesOf(workload, frameEvents, events)) await writer.write(frame);
  await writer.close();
}

export interface ScalingPoint {
  readonly workers: number;
  readonly eventsPerSecond: number;
  readonly eventsPerCpuSecond: number;
}

/**
 * Frames from memory to decision with 1, 2, 4, ... workers, up to the cores.
 *
 * @param workerRate - events per second that one worker can be expected to do
 */
export async function measureScaling(
  bundle: Bundle,
  threshold: number,
  workload: Workload,
  workerRate: number,
): Promise<ScalingPoint[]> {
  const cores = availableParallelism();
  const counts = [...new Set([1, 2, 4, 8, 16, 32, 64, cores])].filter((count) => count <= cores).sort((a, b) => a - b);
  const frames = encoded(workload, FRAME_EVENTS);
  const points: ScalingPoint[] = [];
  for (const workers of counts) {
    const pool = await startPool(bundle, threshold, workers);
    try {
      const count = eventsFor(RUN_SECONDS, workers * workerRate) / FRAME_EVENTS;
      const once = (): Promise<StreamRun> => runThrough(new PacedSource(memoryFeed(frames), count, 0), pool);
      await once();
      const runs = await repeated({ least: 3, most: 3, limitSeconds: 0 }, once);
      points.push({
        workers,
        eventsPerSecond: median(runs.map((run) => run.events / run.seconds)),
        eventsPerCpuSecond: median(runs.map((run) => run.events / run.cpuSeconds)),
      });
    } finally {
      await pool.close();
    }
  }
  return points;
}

interface LatencyPoint {
  /** Fraction of the sustained rate of the same frames. */
  readonly load: number;
  readonly eventsPerSecond: number;
  /** From a frame being due to its decision. */
  readonly quantiles: Quantiles;
  readonly stages: StageQuantiles;
}

export interface LatencyResult {
  readonly frameEvents: number;
  /** Events per second without a pace. */
  readonly sustained: number;
  readonly points: readonly LatencyPoint[];
}

export interface LatencyRun {
  readonly bundle: Bundle;
  readonly threshold: number;
  readonly workload: Workload;
  readonly loads?: readonly number[];
  readonly frameEvents?: number;
  /** Of each load. */
  readonly seconds?: number;
  readonly settings?: Partial<StreamSettings>;
}

/** Latency from the moment a frame of a recording is due to its decision, at fractions of the rate that is sustained. */
export async function measureLatency(run: LatencyRun): Promise<LatencyResult> {
  const { bundle, threshold, workload, loads = LOADS, seconds = LATENCY_SECONDS } = run;
  const { frameEvents = LATENCY_FRAME_EVENTS, settings } = run;
  const folder = await mkdtemp(join(tmpdir(), 'nae-trigger-benchmark-'));
  const path = join(folder, 'events.l1f');
  const pool = await startPool(bundle, threshold, availableParallelism(), settings);
  try {
    await writeRecording(path, workload, frameEvents, workload.events);
    const through = (count: number, intervalMs: number): Promise<StreamRun> =>
      runThrough(new PacedSource(recordingFeed(path), count, intervalMs), pool, settings);
    const flatOut = (): Promise<StreamRun> => through((4 * workload.events) / frameEvents, 0);
    await flatOut();
    const runs = await repeated({ least: 3, most: 3, limitSeconds: 0 }, flatOut);
    const sustained = median(runs.map((one) => one.events / one.seconds));
    const points: LatencyPoint[] = [];
    const paced = async (eventsPerSecond: number, time: number): Promise<StageQuantiles> => {
      const intervalMs = (1000 * frameEvents) / eventsPerSecond;
      return (await through(Math.ceil((time * 1000) / intervalMs), intervalMs)).latency;
    };
    await paced(loads[0]! * sustained, PACED_WARM_UP_SECONDS);
    for (const load of loads) {
      const eventsPerSecond = load * sustained;
      const latency = await paced(eventsPerSecond, seconds);
      points.push({ load, eventsPerSecond, quantiles: latency.decision!, stages: latency });
    }
    return { frameEvents, sustained, points };
  } finally {
    await pool.close();
    await rm(folder, { recursive: true, force: true });
  }
}
