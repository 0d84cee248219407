/** The measurements of the 40 MHz report from Kafka to Kafka: every measured process starts and ends for itself. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import type { KafkaConnection } from '../kafka/client.js';
import type { Bundle } from '../model/bundle.js';
import { bestBareRuntime } from './bare-runtime.js';
import type { ConsumeJob, ConsumeOutcome } from './consume.js';
import type { StreamSettings } from './default-settings.js';
import type { StageQuantiles } from './latency-probe.js';
import { consume, feed, LiveConsumer } from './measured-process.js';
import type { PeerOutcome, PythonPeer } from './python-peer.js';
import type { Workload } from './streams.js';
import { median, repeated, spread, timed, type Repetitions, type Spread } from './timing.js';

/** Partitions of the topics that are measured. */
export const PARTITIONS = 4;
/** Processes of one worker each in one group. */
const PROCESS_COUNTS = [1, 2, 3, 4] as const;

export interface KafkaResult {
  /** CPU per event over that of bare consumption plus the bare runtime. */
  readonly cpuRatio: Spread;
  readonly eventsPerSecond: number;
  readonly eventsPerCpuSecond: number;
  readonly kafkajsEventsPerCpuSecond: number;
  readonly rssBytes: number;
  /** Events per second from the first frame on, exactly once without a ledger over at least once. */
  readonly exactlyOnce: Spread;
  /** Events per CPU-second over those of the Python peer, both from the first frame on; whether both accept the same events. */
  readonly peer:
    { readonly ratio: Spread; readonly eventsPerCpuSecond: number; readonly sameAccepted: boolean } | undefined;
  readonly processes: readonly ProcessesPoint[];
}

/** Processes of one worker each, in one group. */
interface ProcessesPoint {
  readonly processes: number;
  /** All events over the time of the process that took longest, from its first frame on. */
  readonly eventsPerSecond: number;
  readonly eventsPerCpuSecond: number;
  /** Of the second half of what each process got: without the compiling that every process does once. */
  readonly warmEventsPerCpuSecond: number;
}

/** Where a measurement runs. */
export interface KafkaBench {
  readonly connection: KafkaConnection;
  /** Filled with frames of the workload. */
  readonly topic: string;
  readonly workload: Workload;
}

/** Where a stream that reads a topic writes accepted events. */
function outputTopic(topic: string): string {
  return `${topic}.accepted`;
}

/** A group of its own, whose name begins with the topic's. */
function groupFor(topic: string): string {
  return `${topic}.${randomUUID()}`;
}

/** The stream at least and exactly once, bare consumption and the Python peer, in turn; then processes in one group. */
export async function measureKafka(
  bundle: Bundle,
  { connection, topic, workload }: KafkaBench,
  repetitions: Repetitions,
  python: PythonPeer | undefined,
): Promise<KafkaResult> {
  const bare = await bestBareRuntime(bundle, workload.codes);
  const threshold = await bare.threshold();
  const sink = outputTopic(topic);
  const job = (): ConsumeJob => ({
    ...{ connection, topic, group: groupFor(topic), sink },
    model: { directory: bundle.directory, threshold },
  });
  const rounds = await repeated(repetitions, async () => {
    const stream = await consume(job());
    const kafka = await consume({ ...job(), model: undefined });
    const exactlyOnce = await consume({ ...job(), exactlyOnce: { ledger: false } });
    const { cpuSeconds } = await timed(() => bare.run(workload.events));
    const peer = await python?.run({
      brokers: connection.brokers,
      topic,
      sink,
      partitions: PARTITIONS,
      bundle,
      threshold,
    });
    return { stream, kafka, exactlyOnce, runtimeCpu: cpuSeconds / workload.events, peer };
  });
  const processes: ProcessesPoint[] = [];
  for (const count of PROCESS_COUNTS) {
    const shared = { ...job(), workers: 1 };
    processes.push(ofProcesses(await Promise.all(Array.from({ length: count }, () => consume(shared)))));
  }
  const over = (value: (round: (typeof rounds)[number]) => number): number => median(rounds.map(value));
  return {
    cpuRatio: spread(
      rounds.map(
        ({ stream, kafka, runtimeCpu }) =>
          stream.cpuSeconds / stream.events / (kafka.cpuSeconds / kafka.events + runtimeCpu),
      ),
    ),
    eventsPerSecond: over(({ stream }) => stream.events / stream.fromFirstFrame!.seconds),
    eventsPerCpuSecond: over(({ stream }) => stream.events / stream.cpuSeconds),
    kafkajsEventsPerCpuSecond: over(({ kafka }) => kafka.events / kafka.cpuSeconds),
    rssBytes: over(({ stream }) => stream.rssBytes),
    exactlyOnce: spread(
      rounds.map(({ stream, exactlyOnce }) => stream.fromFirstFrame!.seconds / exactlyOnce.fromFirstFrame!.seconds),
    ),
    peer: python === undefined ? undefined : comparison(rounds),
    processes,
  };
}

function comparison(
  rounds: readonly { readonly stream: ConsumeOutcome; readonly peer: PeerOutcome | undefined }[],
): NonNullable<KafkaResult['peer']> {
  const pairs = rounds.flatMap(({ stream, peer }) => (peer === undefined ? [] : [{ stream, peer }]));
  const rate = ({ events, cpuSeconds }: { events: number; cpuSeconds: number }): number => events / cpuSeconds;
  return {
    ratio: spread(pairs.map(({ stream, peer }) => rate({ ...stream, ...stream.fromFirstFrame }) / rate(peer))),
    eventsPerCpuSecond: median(pairs.map(({ peer }) => rate(peer))),
    sameAccepted: pairs.every(({ stream, peer }) => stream.accepted.join() === peer.accepted.join()),
  };
}

function ofProcesses(outcomes: readonly ConsumeOutcome[]): ProcessesPoint {
  const sum = (value: (one: ConsumeOutcome) => number): number => outcomes.reduce((all, one) => all + value(one), 0);
  const events = sum((one) => one.events);
  return {
    processes: outcomes.length,
    // One that came too late for a partition has had no frame.
    eventsPerSecond: events / Math.max(...outcomes.map(({ fromFirstFrame }) => fromFirstFrame?.seconds ?? 0)),
    eventsPerCpuSecond: events / sum(({ cpuSeconds }) => cpuSeconds),
    warmEventsPerCpuSecond: sum(({ warm }) => warm?.events ?? 0) / sum(({ warm }) => warm?.cpuSeconds ?? 0),
  };
}

/** Frames of a live topic, so many per second, through a stream of one worker per core. */
export interface LiveRun {
  /** Undefined: bare kafkajs consumption. */
  readonly model: ConsumeJob['model'];
  readonly connection: KafkaConnection;
  /** Empty, or read to its end by nobody else. */
  readonly topic: string;
  /** Where the events come from. */
  readonly recording: string;
  readonly frameEvents: number;
  /** Fraction of what is sustained, for the record. */
  readonly load: number;
  readonly eventsPerSecond: number;
  readonly seconds: number;
  readonly settings?: Partial<StreamSettings>;
}

export interface LiveResult extends Pick<LiveRun, 'load' | 'eventsPerSecond' | 'frameEvents'> {
  readonly stages: StageQuantiles;
  /** How late the last frame was sent [s]: where that is much, the feed did not keep its pace. */
  readonly feedLateSeconds: number;
}

const WARM_UP_SECONDS = 2;
/** What a frame may still take after the feed has ended. */
const TAIL_MS = 500;

/** Latencies from the moment a frame is due at its producer (open loop). */
export async function measureLive(run: LiveRun): Promise<LiveResult> {
  const { model, connection, topic, recording, frameEvents, load, eventsPerSecond, seconds } = run;
  const consumer = new LiveConsumer({
    ...{ connection, topic, group: groupFor(topic), sink: outputTopic(topic), model },
    ...(run.settings === undefined ? {} : { settings: run.settings }),
  });
  await consumer.assigned;
  const intervalMs = (1000 * frameEvents) / eventsPerSecond;
  const frames = (time: number): number => Math.ceil((time * 1000) / intervalMs);
  const { lateSeconds } = await feed({
    ...{ connection, topic, recording, frameEvents, intervalMs },
    ...{ warmUpCount: frames(WARM_UP_SECONDS), count: frames(seconds) },
  });
  await sleep(TAIL_MS);
  const { latency = {} } = await consumer.end();
  return { load, eventsPerSecond, frameEvents, stages: latency, feedLateSeconds: lateSeconds };
}
