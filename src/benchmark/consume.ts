/** A measured process of Kafka to Kafka: reads a topic to its end, through the stream or with kafkajs alone. */
import { availableParallelism } from 'node:os';

import { Kafka, logLevel } from 'kafkajs';

import { decodeFrame, isFrameFault } from '../event/frame.js';
import { PartitionClaims } from '../kafka/partition-claims.js';
import { loadBundle } from '../model/bundle.js';
import { Pipeline } from '../pipeline/pipeline.js';
import { ScorePool } from '../score/score-pool.js';
import { openKafkaSink } from '../sink/kafka-sink.js';
import type { Sink } from '../sink/sink.js';
import { KafkaSource } from '../source/kafka-source.js';
import type { Intake, Source } from '../source/source.js';
import { Happenings } from '../telemetry/happenings.js';
import { silentLogger } from '../telemetry/logger.js';
import { Metrics } from '../telemetry/metrics.js';

import { defaultSettings } from './default-settings.js';
import { timed, type Timed } from './timing.js';

export interface ConsumeJob {
  readonly brokers: readonly string[];
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
}

export interface ConsumeOutcome extends Timed {
  readonly events: number;
  /** `partition/offset/index` of every accepted event, sorted. */
  readonly accepted: readonly string[];
  readonly rssBytes: number;
  /** From the first frame to the end, without joining the group and claiming partitions [s]; only of the stream. */
  readonly streamSeconds?: number;
}

/** What the product fetches at once; kafkajs' own default of 1 MiB would be four times slower. */
const FETCH_BYTES = 8 * 1024 * 1024;

const log = silentLogger();

async function throughStream(job: ConsumeJob, directory: string, threshold: number) {
  const { brokers, topic, group: groupId, workers, exactlyOnce, sink: output = 'l1.accepted' } = job;
  const stream = defaultSettings();
  const pool = await ScorePool.start({
    paths: [{ name: 'bench', bundle: await loadBundle(directory), threshold }],
    workers: workers ?? availableParallelism(),
    device: { kind: 'cpu' },
    quantisation: 'hw32',
    batchEvents: stream.batchEvents,
    inferenceRows: stream.inferenceRows,
  });
  const connection = { brokers };
  const happenings = new Happenings(log, new Metrics());
  const ledger = exactlyOnce?.ledger === true ? { topic: 'l1.ledger', environment: 'benchmark' } : undefined;
  const topics = { topic: output, deadLetterTopic: `${output}.dead-letter`, ledger };
  const sink = await openKafkaSink({ connection, ...topics, log });
  const claims = exactlyOnce === undefined ? undefined : new PartitionClaims({ connection, groupId, topic, log });
  const source = new KafkaSource({ connection, topic, groupId, happenings, stopAtEnd: true, claims });
  const accepted: string[] = [];
  const listing: Sink = {
    name: sink.name,
    writeIntervalMs: sink.writeIntervalMs,
    write: (delivery) => {
      for (const { position, index } of delivery.accepted) {
        accepted.push(`${position.partition}/${position.offset}/${index}`);
      }
      return sink.write(delivery);
    },
    close: () => sink.close(),
  };
  let first: number | undefined;
  const timing: Source = {
    name: source.name,
    run: (intake, stop) => {
      const offer: Intake['offer'] = (record) => {
        first ??= performance.now();
        return intake.offer(record);
      };
      const idle = intake.idle.bind(intake);
      const ending = intake.ending?.bind(intake);
      return source.run({ offer, idle, ...(ending === undefined ? {} : { ending }) }, stop);
    },
    finished: source.finished.bind(source),
    close: source.close.bind(source),
  };
  const pipeline = new Pipeline(timing, pool, listing, happenings, {
    limits: { maxFrameBytes: stream.maxFrameBytes },
    maxInFlightBytes: stream.maxInFlightBytes,
    maxBatchDelayMs: stream.maxBatchDelayUs / 1000,
    transactions: {
      intervalMs: stream.transactionIntervalMs,
      maxFrames: stream.transactionMaxFrames,
      maxBytes: stream.transactionMaxBytes,
    },
    ledger: ledger !== undefined,
  });
  const time = await timed(() => pipeline.run(new AbortController().signal));
  const streamSeconds = (performance.now() - (first ?? NaN)) / 1000;
  await source.close();
  await claims?.close();
  await sink.close();
  await pool.close();
  return { ...time, streamSeconds, events: pipeline.totals.events.received, accepted: accepted.sort() };
}

/** kafkajs as it is, without what the product changes of it. */
async function bare({ brokers, topic, group }: ConsumeJob) {
  const kafka = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  const ends = await admin.fetchTopicOffsets(topic);
  await admin.disconnect();
  const total = ends.reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0);
  const consumer = kafka.consumer({
    groupId: group,
    maxBytes: FETCH_BYTES,
    maxBytesPerPartition: FETCH_BYTES,
    maxWaitTimeInMs: 250,
  });
  let events = 0;
  const time = await timed(async () => {
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    let messages = 0;
    await new Promise<void>((resolve, reject) => {
      consumer
        .run({
          autoCommit: false,
          eachBatch: ({ batch }) => {
            messages += batch.messages.length;
            for (const { value } of batch.messages) {
              const frame = decodeFrame(value);
              if (!isFrameFault(frame)) events += frame.eventCount;
            }
            if (messages >= total) resolve();
            return Promise.resolve();
          },
        })
        .catch(reject);
    });
  });
  await consumer.disconnect();
  return { ...time, events, accepted: [] };
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
