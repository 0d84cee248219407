/**
 * A measured process of Kafka to Kafka: reads a topic to its end, or what comes while it runs, through the stream or
 * with kafkajs alone. It is sent a ConsumeJob and sends a ConsumeOutcome.
 */
import { availableParallelism } from 'node:os';

import { Kafka, logLevel } from 'kafkajs';

import { decodeFrame, isFrameFault, type L1Frame } from '../event/frame.js';
import type { KafkaConnection } from '../kafka/client.js';
import { optimiseLate } from '../late-optimising.js';
import { PartitionClaims } from '../kafka/partition-claims.js';
import { loadBundle } from '../model/bundle.js';
import { Pipeline } from '../pipeline/pipeline.js';
import { ScorePool } from '../score/score-pool.js';
import { openKafkaSink } from '../sink/kafka-sink.js';
import type { Sink } from '../sink/sink.js';
import { KafkaSource } from '../source/kafka-source.js';
import type { Source, SourceRecord } from '../source/source.js';
import { unixMs } from '../telemetry/clock.js';
import { silentLogger } from '../telemetry/logger.js';

import { defaultSettings, type StreamSettings } from './default-settings.js';
import { LatencyProbe, type StageQuantiles } from './latency-probe.js';
import { timed, timer, type Timed } from './timing.js';

export interface ConsumeJob {
  readonly connection: KafkaConnection;
  readonly topic: string;
  /** Members of one group share the topic's partitions. */
  readonly group: string;
  /** Scoring workers; undefined: one per core. */
  readonly workers?: number;
  /** What the stream scores with; undefined: bare consumption. */
  readonly model: { readonly directory: string; readonly threshold: number } | undefined;
  /** Topic of accepted events; that of dead letters has `.dead-letter` behind the name. Default: l1.accepted. */
  readonly sink?: string;
  /** Exactly once, in the transactions of the defaults, without or with a ledger. Default: at least once. */
  readonly exactlyOnce?: { readonly ledger: boolean };
  /**
   * Go on at the end of the topic until a {@link ConsumeMessage} says stop; latencies count from the first frame on that
   * says when it was due. Default: end there.
   */
  readonly live?: boolean;
  /** What differs from the defaults of `nae-trigger run`. */
  readonly settings?: Partial<StreamSettings>;
}

/** To a live job: decide what is there and end. From it: `assigned`. */
export type ConsumeMessage = 'stop';

export interface ConsumeOutcome extends Timed {
  readonly events: number;
  /** `partition/offset/index` of every accepted event, sorted. */
  readonly accepted: readonly string[];
  readonly rssBytes: number;
  /** From the first frame to the end, without joining the group and claiming partitions; only of the stream. */
  readonly fromFirstFrame?: Timed;
  /** The second half of the events, without the compiling that every process does once; only of the stream. */
  readonly warm?: { readonly events: number; readonly cpuSeconds: number };
  /** Only of live jobs. */
  readonly latency?: StageQuantiles;
}

/** What the product fetches at once; kafkajs' own default of 1 MiB would be four times slower. */
const FETCH_BYTES = 8 * 1024 * 1024;

const SAMPLE_MS = 20;

const log = silentLogger();

async function throughStream(job: ConsumeJob, directory: string, threshold: number) {
  const { connection, topic, group: groupId, workers, exactlyOnce, sink: output = 'l1.accepted', live = false } = job;
  const settings = { ...defaultSettings(), ...job.settings };
  // As nae-trigger does.
  optimiseLate();
  const pool = await ScorePool.start({
    paths: [{ name: 'bench', bundle: await loadBundle(directory), threshold }],
    workers: workers ?? availableParallelism(),
    device: { kind: 'cpu' },
    quantisation: 'hw32',
    batchEvents: settings.batchEvents,
    inferenceRows: settings.inferenceRows,
  });
  const probe = new LatencyProbe(false, () => process.send!('assigned'));
  const stop = new AbortController();
  onStop(() => {
    stop.abort();
  });
  const ledger = exactlyOnce?.ledger === true ? { topic: 'l1.ledger', environment: 'benchmark' } : undefined;
  const topics = { topic: output, deadLetterTopic: `${output}.dead-letter`, ledger };
  const sink = await openKafkaSink({ connection, ...topics, log });
  const claims = exactlyOnce === undefined ? undefined : new PartitionClaims({ connection, groupId, topic, log });
  const source = new KafkaSource({ connection, topic, groupId, happenings: probe, stopAtEnd: !live, claims });
  const observed = new ObservedEnds(source, sink, probe, live);
  const pipeline = new Pipeline(observed.source, pool, observed.sink, probe, {
    limits: { maxFrameBytes: settings.maxFrameBytes },
    maxInFlightBytes: settings.maxInFlightBytes,
    maxBatchDelayMs: settings.maxBatchDelayUs / 1000,
    transactions: {
      intervalMs: settings.transactionIntervalMs,
      maxFrames: settings.transactionMaxFrames,
      maxBytes: settings.transactionMaxBytes,
    },
    ledger: ledger !== undefined,
  });
  const course = new Course(() => {
    const { accepted, rejected, faults } = pipeline.totals.events;
    return accepted + rejected + faults;
  });
  const time = await timed(() => pipeline.run(stop.signal));
  const warm = course.secondHalf();
  const fromFirstFrame = observed.sinceFirstFrame?.();
  await source.close();
  await claims?.close();
  await sink.close();
  await pool.close();
  return {
    ...time,
    ...(fromFirstFrame === undefined ? {} : { fromFirstFrame }),
    warm,
    events: pipeline.totals.events.received,
    accepted: observed.accepted.sort(),
    ...(live ? { latency: probe.quantiles } : {}),
  };
}

/** How events and CPU time of a stream have come about. */
class Course {
  readonly #events: () => number;
  readonly #samples: { events: number; cpuSeconds: number }[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor(events: () => number) {
    this.#events = events;
    this.#timer = setInterval(() => {
      this.#sample();
    }, SAMPLE_MS);
  }

  #sample(): void {
    const { user, system } = process.cpuUsage();
    this.#samples.push({ events: this.#events(), cpuSeconds: (user + system) / 1e6 });
  }

  secondHalf(): { events: number; cpuSeconds: number } {
    clearInterval(this.#timer);
    this.#sample();
    const last = this.#samples.at(-1)!;
    const half = this.#samples.find(({ events }) => events >= last.events / 2)!;
    return { events: last.events - half.events, cpuSeconds: last.cpuSeconds - half.cpuSeconds };
  }
}

/** Source and sink of a stream with somebody looking at what passes: latencies, and what was accepted. */
class ObservedEnds {
  readonly source: Source;
  readonly sink: Sink;
  readonly accepted: string[] = [];
  /** Once the first frame has come. */
  sinceFirstFrame: (() => Timed) | undefined;
  /** When frames were due that are not finished [ms since the epoch], by place; only of live jobs. */
  readonly #due = new Map<string, number>();

  constructor(source: Source, sink: Sink, probe: LatencyProbe, live: boolean) {
    const dueNow = (record: SourceRecord): void => {
      const frame = decodeFrame(record.bytes);
      if (isFrameFault(frame) || frame.createdUnixNs === 0n) return;
      const dueMs = dueMsOf(frame);
      probe.counting = true;
      probe.record('arrival', unixMs() - dueMs);
      this.#due.set(placeOf(record.position), dueMs);
    };
    this.source = {
      name: source.name,
      run: (intake, stop) => {
        const ending = intake.ending?.bind(intake);
        const offer = (record: SourceRecord): Promise<void> | undefined => {
          this.sinceFirstFrame ??= timer();
          if (live) dueNow(record);
          return intake.offer(record);
        };
        const idle = intake.idle.bind(intake);
        return source.run({ offer, idle, ...(ending === undefined ? {} : { ending }) }, stop);
      },
      finished: (record) => {
        this.#due.delete(placeOf(record.position));
        source.finished(record);
      },
      close: () => source.close(),
    };
    this.sink = {
      name: sink.name,
      writeIntervalMs: sink.writeIntervalMs,
      write: async (delivery) => {
        for (const { position, index } of delivery.accepted) this.accepted.push(`${placeOf(position)}/${index}`);
        await sink.write(delivery);
        if (!live) return;
        for (const { position } of delivery.accepted) {
          const dueMs = this.#due.get(placeOf(position));
          if (dueMs !== undefined) probe.record('written', unixMs() - dueMs);
        }
      },
      close: () => sink.close(),
    };
  }
}

function placeOf({ partition, offset }: SourceRecord['position']): string {
  return `${partition}/${offset}`;
}

/** kafkajs as it is, without what the product changes of it. */
async function bare({ connection: { brokers, tls, sasl }, topic, group, live = false }: ConsumeJob) {
  const kafka = new Kafka({
    brokers: [...brokers],
    logLevel: logLevel.NOTHING,
    ...(tls === undefined ? {} : { ssl: tls }),
    ...(sasl === undefined ? {} : { sasl }),
  });
  const admin = kafka.admin();
  await admin.connect();
  const ends = await admin.fetchTopicOffsets(topic);
  await admin.disconnect();
  const total = live ? Infinity : ends.reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0);
  const consumer = kafka.consumer({
    groupId: group,
    maxBytes: FETCH_BYTES,
    maxBytesPerPartition: FETCH_BYTES,
    maxWaitTimeInMs: 250,
  });
  const probe = new LatencyProbe(true);
  consumer.on(consumer.events.GROUP_JOIN, () => process.send!('assigned'));
  let events = 0;
  const time = await timed(async () => {
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    let messages = 0;
    await new Promise<void>((resolve, reject) => {
      onStop(resolve);
      consumer
        .run({
          autoCommit: false,
          eachBatch: ({ batch }) => {
            messages += batch.messages.length;
            for (const { value } of batch.messages) {
              const frame = decodeFrame(value);
              if (isFrameFault(frame)) continue;
              events += frame.eventCount;
              if (live && frame.createdUnixNs !== 0n) probe.record('arrival', unixMs() - dueMsOf(frame));
            }
            if (messages >= total) resolve();
            return Promise.resolve();
          },
        })
        .catch(reject);
    });
  });
  await consumer.disconnect();
  return { ...time, events, accepted: [], ...(live ? { latency: probe.quantiles } : {}) };
}

/** When a frame was due [ms since the epoch]. */
function dueMsOf({ createdUnixNs }: L1Frame): number {
  return Number(createdUnixNs / 1000n) / 1000;
}

function onStop(stop: () => void): void {
  process.on('message', (message) => {
    if (message === ('stop' satisfies ConsumeMessage)) stop();
  });
}

process.once('message', (message) => {
  const job = message as ConsumeJob;
  const { model } = job;
  const outcome = model === undefined ? bare(job) : throughStream(job, model.directory, model.threshold);
  void outcome.then((measured) => {
    // maxRSS is in kilobytes.
    process.send!({ ...measured, rssBytes: process.resourceUsage().maxRSS * 1024 } satisfies ConsumeOutcome);
    process.disconnect();
  });
});
