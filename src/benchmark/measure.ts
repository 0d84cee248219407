/** The measurements of the 40 MHz report. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';

import { encodeFrame } from '../event/frame.js';
import type { KafkaConnection } from '../kafka/client.js';
import type { Bundle } from '../model/bundle.js';
import { createRecording, openRecording } from '../recording/open.js';
import { FrameProducer } from '../replay/frame-producer.js';
import { ScorePool } from '../score/score-pool.js';
import { RecordingSource } from '../source/recording-source.js';
import type { Logger } from '../telemetry/logger.js';
import { bestBareRuntime } from './bare-runtime.js';
import type { ConsumeOutcome } from './consume.js';
import { consume } from './measured-process.js';
import { defaultSettings } from './default-settings.js';
import type { PeerOutcome, PythonPeer } from './python-peer.js';
import { encoded, framesOf, PacedSource, runThrough, type StreamRun, type Workload } from './streams.js';
import { median, timed } from './timing.js';

const FRAME_EVENTS = 4096;
/** Frames and inference calls of the latency runs: small, because a frame is decided as a whole. */
const LATENCY_FRAME_EVENTS = 512;
const LATENCY_SECONDS = 3;
/** Partitions of the topic that is measured. */
export const PARTITIONS = 4;
/** Light load first, at which the floor shows. */
const LOADS = [0.2, 0.25, 0.5, 0.75, 0.9] as const;

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

interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

function spread(values: readonly number[]): Spread {
  return { median: median(values), low: Math.min(...values), high: Math.max(...values) };
}

async function startPool(bundle: Bundle, threshold: number, workers: number, rows?: number): Promise<ScorePool> {
  const { batchEvents, inferenceRows } = defaultSettings();
  return ScorePool.start({
    paths: [{ name: 'benchmark', bundle, threshold }],
    workers,
    device: { kind: 'cpu' },
    quantisation: 'hw32',
    batchEvents,
    inferenceRows: rows ?? inferenceRows,
  });
}

/** Recording to decision with one worker, and the bare runtime, in turn in this process. */
export async function measureRecording(
  bundle: Bundle,
  workload: Workload,
  events: number,
  repetitions: number,
): Promise<RecordingResult> {
  const folder = await mkdtemp(join(tmpdir(), 'nae-trigger-benchmark-'));
  const path = join(folder, 'events.l1f');
  const bare = await bestBareRuntime(bundle, workload.codes);
  const threshold = await bare.threshold();
  const pool = await startPool(bundle, threshold, 1);
  try {
    const writer = await createRecording(path, { header: { labelNames: new Map(), provenance: new Map() } });
    for (const frame of framesOf(workload, FRAME_EVENTS, events)) await writer.write(frame);
    await writer.close();
    const once = async (): Promise<StreamRun> => runThrough(new RecordingSource(await openRecording(path)), pool);
    await once();
    const pairs: { stream: StreamRun; limit: { seconds: number; cpuSeconds: number } }[] = [];
    for (let repetition = 0; repetition < repetitions; repetition++) {
      pairs.push({ stream: await once(), limit: await timed(() => bare.run(events)) });
    }
    const over = (value: (pair: (typeof pairs)[number]) => number): number => median(pairs.map(value));
    const stages = Object.keys(pairs[0]!.stream.stages).filter((stage) => stage !== 'queue');
    return {
      ratio: spread(pairs.map(({ stream, limit }) => limit.seconds / stream.seconds)),
      ratioCpu: spread(pairs.map(({ stream, limit }) => limit.cpuSeconds / stream.cpuSeconds)),
      eventsPerSecond: over(({ stream }) => events / stream.seconds),
      eventsPerCpuSecond: over(({ stream }) => events / stream.cpuSeconds),
      bareEventsPerSecond: over(({ limit }) => events / limit.seconds),
      bareBatch: bare.rows,
      threshold,
      stageNs: {
        ...Object.fromEntries(
          stages.map((stage) => [stage, over(({ stream }) => (stream.stages[stage]! / events) * 1e9)]),
        ),
        all: over(({ stream }) => (stream.cpuSeconds / events) * 1e9),
      },
    };
  } finally {
    await pool.close();
    await rm(folder, { recursive: true, force: true });
  }
}

export interface ScalingPoint {
  readonly workers: number;
  readonly eventsPerSecond: number;
  readonly eventsPerCpuSecond: number;
}

/** Frames from memory to decision with 1, 2, 4, ... workers, up to the cores. */
export async function measureScaling(
  bundle: Bundle,
  threshold: number,
  workload: Workload,
  events: number,
): Promise<ScalingPoint[]> {
  const cores = availableParallelism();
  const counts = [...new Set([1, 2, 4, 8, 16, 32, 64, cores])].filter((count) => count <= cores).sort((a, b) => a - b);
  const frames = encoded(workload, FRAME_EVENTS);
  const points: ScalingPoint[] = [];
  for (const workers of counts) {
    const pool = await startPool(bundle, threshold, workers);
    try {
      const runs: StreamRun[] = [];
      for (let repetition = 0; repetition < 4; repetition++) {
        const run = await runThrough(new PacedSource(frames, events / FRAME_EVENTS, 0), pool);
        if (repetition > 0) runs.push(run);
      }
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

export interface LatencyPoint {
  /** Fraction of the sustained rate of the same frames. */
  readonly load: number;
  readonly eventsPerSecond: number;
  readonly quantiles: StreamRun['latency'];
}

/** Latency from the moment a frame is due to its decision, at fractions of the rate that is sustained. */
export async function measureLatency(
  bundle: Bundle,
  threshold: number,
  workload: Workload,
): Promise<{ sustained: number; points: LatencyPoint[] }> {
  const frames = encoded(workload, LATENCY_FRAME_EVENTS);
  const pool = await startPool(bundle, threshold, availableParallelism(), LATENCY_FRAME_EVENTS);
  try {
    const flatOut: number[] = [];
    for (let repetition = 0; repetition < 4; repetition++) {
      const run = await runThrough(new PacedSource(frames, 1024, 0), pool);
      if (repetition > 0) flatOut.push(run.events / run.seconds);
    }
    const sustained = median(flatOut);
    const points: LatencyPoint[] = [];
    for (const load of LOADS) {
      const eventsPerSecond = load * sustained;
      const intervalMs = (1000 * LATENCY_FRAME_EVENTS) / eventsPerSecond;
      const count = Math.ceil((LATENCY_SECONDS * 1000) / intervalMs);
      const { latency } = await runThrough(new PacedSource(frames, count, intervalMs), pool);
      points.push({ load, eventsPerSecond, quantiles: latency });
    }
    return { sustained, points };
  } finally {
    await pool.close();
  }
}

export interface KafkaResult {
  /** CPU per event over that of bare consumption plus the bare runtime. */
  readonly cpuRatio: Spread;
  readonly eventsPerSecond: number;
  readonly eventsPerCpuSecond: number;
  readonly kafkajsEventsPerCpuSecond: number;
  readonly rssBytes: number;
  /** Events per second from the first frame on, exactly once without a ledger over at least once. */
  readonly exactlyOnce: Spread;
  /** Events per CPU-second over those of the Python peer, and whether both accept the same events. */
  readonly peer:
    { readonly ratio: Spread; readonly eventsPerCpuSecond: number; readonly sameAccepted: boolean } | undefined;
  /** One process and two, each with half of the cores' workers, in one group. */
  readonly processes: readonly { readonly processes: number; readonly eventsPerCpuSecond: number }[];
}

function comparison(
  rounds: readonly { readonly stream: ConsumeOutcome; readonly peer: PeerOutcome | undefined }[],
): NonNullable<KafkaResult['peer']> {
  const pairs = rounds.flatMap(({ stream, peer }) => (peer === undefined ? [] : [{ stream, peer }]));
  const rate = ({ events, cpuSeconds }: { events: number; cpuSeconds: number }): number => events / cpuSeconds;
  return {
    ratio: spread(pairs.map(({ stream, peer }) => rate(stream) / rate(peer))),
    eventsPerCpuSecond: median(pairs.map(({ peer }) => rate(peer))),
    sameAccepted: pairs.every(({ stream, peer }) => stream.accepted.join() === peer.accepted.join()),
  };
}

/** Fill a topic for {@link measureKafka}. */
export async function fillTopic(
  connection: KafkaConnection,
  topic: string,
  workload: Workload,
  events: number,
  log: Logger,
): Promise<void> {
  const producer = await FrameProducer.open({ connection, topic, log });
  try {
    for (const frame of framesOf(workload, FRAME_EVENTS, events)) {
      const full = producer.send({ run: 1, orbit: frame.orbit, bytes: encodeFrame(frame) });
      if (full !== undefined) await full;
    }
    await producer.flush();
  } finally {
    await producer.close();
  }
}

/** What {@link measureKafka} writes to, for a topic that it reads: accepted events and dead letters. */
export function outputTopics(topic: string): [accepted: string, deadLetters: string] {
  return [`${topic}.accepted`, `${topic}.accepted.dead-letter`];
}

/** Kafka to Kafka: every measured process starts and ends for itself; stream and bare consumption in turn. */
export async function measureKafka(
  bundle: Bundle,
  brokers: readonly string[],
  topic: string,
  workload: Workload,
  repetitions: number,
  python: PythonPeer | undefined,
): Promise<KafkaResult> {
  const bare = await bestBareRuntime(bundle, workload.codes);
  const threshold = await bare.threshold();
  const model = { directory: bundle.directory, threshold };
  const [sink] = outputTopics(topic);
  const rounds: {
    stream: ConsumeOutcome;
    kafka: ConsumeOutcome;
    exactlyOnce: ConsumeOutcome;
    runtimeCpu: number;
    peer: PeerOutcome | undefined;
  }[] = [];
  for (let repetition = 0; repetition < repetitions; repetition++) {
    const stream = await consume({ brokers, topic, group: randomUUID(), model, sink });
    const kafka = await consume({ brokers, topic, group: randomUUID(), model: undefined });
    const exactlyOnce = await consume({
      ...{ brokers, topic, group: randomUUID(), model, sink },
      exactlyOnce: { ledger: false },
    });
    const { cpuSeconds } = await timed(() => bare.run(workload.events));
    const peer = await python?.run({ brokers, topic, sink, partitions: PARTITIONS, bundle, threshold });
    rounds.push({ stream, kafka, exactlyOnce, runtimeCpu: cpuSeconds / workload.events, peer });
  }
  const group = randomUUID();
  const workers = Math.max(1, availableParallelism() >> 1);
  const two = await Promise.all([0, 1].map(() => consume({ brokers, topic, group, workers, model, sink })));
  const sum = (value: (one: (typeof two)[number]) => number): number => two.reduce((all, one) => all + value(one), 0);
  const over = (value: (round: (typeof rounds)[number]) => number): number => median(rounds.map(value));
  const eventsPerCpuSecond = over(({ stream }) => stream.events / stream.cpuSeconds);
  return {
    cpuRatio: spread(
      rounds.map(
        ({ stream, kafka, runtimeCpu }) =>
          stream.cpuSeconds / stream.events / (kafka.cpuSeconds / kafka.events + runtimeCpu),
      ),
    ),
    eventsPerSecond: over(({ stream }) => stream.events / stream.seconds),
    eventsPerCpuSecond,
    kafkajsEventsPerCpuSecond: over(({ kafka }) => kafka.events / kafka.cpuSeconds),
    rssBytes: over(({ stream }) => stream.rssBytes),
    exactlyOnce: spread(rounds.map(({ stream, exactlyOnce }) => stream.streamSeconds! / exactlyOnce.streamSeconds!)),
    peer: python === undefined ? undefined : comparison(rounds),
    processes: [
      { processes: 1, eventsPerCpuSecond },
      { processes: 2, eventsPerCpuSecond: sum(({ events }) => events) / sum(({ cpuSeconds }) => cpuSeconds) },
    ],
  };
}
