/**
 * Builds and runs a stream: the one place where sources, sinks, workers, metrics and pages come together.
 */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename } from 'node:path';

import type { Settings } from '../config/options.js';
import { messageOf, TriggerError } from '../errors.js';
import { Pipeline, type PipelineOptions, type ScoredFrame } from '../pipeline/pipeline.js';
import { PartitionClaims } from '../kafka/partition-claims.js';
import { openRecording } from '../recording/open.js';
import type { RecordingHeader } from '../recording/recording.js';
import { histogramEdge } from '../score/messages.js';
import { ledgerEnvironment } from './ledger-environment.js';
import type { Device } from '../model/session.js';
import type { Path } from '../score/menu.js';
import type { ScorePool } from '../score/score-pool.js';
import { readCheckpoint, type Checkpoint } from '../sink/checkpoint.js';
import { openKafkaSink } from '../sink/kafka-sink.js';
import { finishOutput, RecordingSink } from '../sink/recording-sink.js';
import type { Sink } from '../sink/sink.js';
import { KafkaSource } from '../source/kafka-source.js';
import { RecordingSource } from '../source/recording-source.js';
import type { Source } from '../source/source.js';
import { Happenings } from '../telemetry/happenings.js';
import { serveTelemetry } from '../telemetry/http.js';
import { Metrics } from '../telemetry/metrics.js';
import { registerScoreHistogram } from '../telemetry/score-histogram.js';
import { connectionOf, topicOf } from './kafka.js';
import { menuPage } from './menu-page.js';
import { MenuReloads, type MenuLoader } from './menu-reloads.js';
import { openPool, type ScoringSettings } from './models.js';
import { progressOf, type Progress } from './progress.js';
import { grouped } from './result.js';
import type { Context } from './verb.js';

export type EndpointSettings = Settings<
  'brokers' | 'tls' | 'tlsCa' | 'saslMechanism' | 'group' | 'deadLetter' | 'partitions'
>;

type DeliverySettings = Settings<
  'delivery' | 'transactionIntervalMs' | 'transactionMaxFrames' | 'transactionMaxBytes' | 'ledger'
>;

type SinkSettings = EndpointSettings &
  Settings<'overwrite' | 'maxFrameBytes' | 'ledger' | 'quantise' | 'inferenceRows'> &
  Partial<Settings<'checkpointIntervalMs'>>;

type StreamSettings = Settings<'maxBatchDelayUs' | 'maxFrameBytes' | 'maxInFlightBytes' | 'httpPort' | 'httpHost'> &
  Partial<DeliverySettings & Settings<'httpReload'>>;

/** A source, and how far it is where that can be told. */
export interface OpenSource {
  readonly source: Source;
  readonly progress: (() => { done: number; total: number }) | undefined;
  /** What the input says of its labels. */
  readonly labelNames: ReadonlyMap<number, string>;
  /** Of a topic that is read exactly once. */
  readonly claims?: PartitionClaims | undefined;
  /** Stopped before its end, it leaves an output that is unfinished and can be gone on with. */
  readonly resumable: boolean;
}

/** A recording as a source. */
export async function openRecordingSource(
  path: string,
  settings: Partial<Settings<'frameEvents' | 'run'>>,
  checkpoint?: Checkpoint,
): Promise<OpenSource> {
  const reader = await openRecording(path, { eventsPerFrame: settings.frameEvents, run: settings.run });
  const reached = checkpoint?.positions.find(({ source }) => source === basename(path));
  const start =
    reached === undefined ? undefined : { next: BigInt(reached.next), lastFrame: reached.last_frame_fingerprint };
  return {
    source: new RecordingSource(reader, start),
    resumable: true,
    progress: () => ({ done: reader.readBytes, total: reader.sizeBytes }),
    labelNames: reader.header.labelNames,
  };
}

/**
 * What an interrupted run left at a sink: `whole`, where only its end was missing, which is made up for here; or how
 * far it is; or undefined for nothing.
 *
 * @throws TriggerError USAGE where source or sink is a topic
 */
export async function interruptedOutput(
  settings: Settings<'source' | 'sink' | 'scores' | 'overwrite'>,
  provenance: ReadonlyMap<string, string>,
  context: Context,
): Promise<Checkpoint | 'whole' | undefined> {
  for (const name of ['source', 'sink'] as const) {
    if (topicOf(settings[name]) === undefined) continue;
    throw new TriggerError('USAGE', `--resume: expected a recording as --${name}, received ${settings[name]}`);
  }
  if (settings.scores !== undefined) throw new TriggerError('USAGE', '--resume and --scores exclude each other');
  if (settings.overwrite) throw new TriggerError('USAGE', '--resume and --overwrite exclude each other');
  const checkpoint = await readCheckpoint(settings.sink);
  if (checkpoint === undefined) return (await isOutputOf(settings.sink, provenance)) ? 'whole' : undefined;
  if (checkpoint.complete) {
    await finishOutput(settings.sink);
    return 'whole';
  }
  const frame = checkpoint.positions[0]?.next ?? '0';
  context.log.info({ sink: settings.sink, frame }, 'going on with an unfinished output');
  return checkpoint;
}

/** Whether a finished recording is there that the same stream made. */
async function isOutputOf(path: string, provenance: ReadonlyMap<string, string>): Promise<boolean> {
  if (!existsSync(path)) return false;
  const reader = await openRecording(path);
  await reader.close();
  const made = reader.header.provenance;
  return made.size === provenance.size && [...provenance].every(([key, value]) => made.get(key) === value);
}

/** A topic as a source; what it may commit depends on the sink. */
export function openTopicSource(
  topic: string,
  settings: EndpointSettings & Settings<'delivery'> & Partial<Settings<'sessionTimeoutMs'>>,
  sink: string,
  stopAtEnd: boolean,
  happenings: Happenings,
): OpenSource {
  const connection = connectionOf(settings);
  const { group: groupId, sessionTimeoutMs } = settings;
  const isTransactional = settings.delivery === 'exactly-once' && topicOf(sink) !== undefined;
  const claims = isTransactional ? new PartitionClaims({ connection, groupId, topic, log: happenings.log }) : undefined;
  const source = new KafkaSource({ connection, topic, groupId, happenings, stopAtEnd, claims, sessionTimeoutMs });
  return { source, progress: undefined, labelNames: new Map(), claims, resumable: false };
}

/**
 * Start the workers, then open the sink: a run that is refused must leave no output behind, and none of the workers.
 */
export async function openPoolAndSink(
  paths: readonly Path[],
  endpoint: string,
  settings: ScoringSettings & SinkSettings,
  input: Pick<OpenSource, 'resumable'>,
  header: RecordingHeader,
  happenings: Happenings,
  checkpoint?: Checkpoint,
): Promise<{ pool: ScorePool; sink: Sink }> {
  const pool = await openPool(paths, settings, happenings);
  try {
    return { pool, sink: await openSink(endpoint, settings, input, header, happenings, pool.device, checkpoint) };
  } catch (error) {
    await pool.close();
    throw error;
  }
}

async function openSink(
  endpoint: string,
  settings: SinkSettings,
  { resumable }: Pick<OpenSource, 'resumable'>,
  header: RecordingHeader,
  happenings: Happenings,
  device: Device,
  resume: Checkpoint | undefined,
): Promise<Sink> {
  const topic = topicOf(endpoint);
  const environment = hasLedger(settings) ? ledgerEnvironment(device, settings) : undefined;
  if (topic === undefined) {
    const { overwrite, checkpointIntervalMs } = settings;
    const ledger = environment === undefined ? undefined : { environment, atLeastOnce: !resumable };
    return RecordingSink.create(endpoint, { header, overwrite, resume, checkpointIntervalMs, ledger });
  }
  return openKafkaSink({
    connection: connectionOf(settings),
    topic,
    deadLetterTopic: settings.deadLetter,
    ledger: environment === undefined ? undefined : { topic: settings.ledger, environment },
    log: happenings.log,
    createWithPartitions: settings.partitions,
    maxFrameBytes: settings.maxFrameBytes,
  });
}

const PROGRESS_LOG_MS = 5000;

/** What a stream needs; it takes over source, sink and pool, and closes them. */
export interface StreamParts extends OpenSource {
  readonly sink: Sink;
  readonly pool: ScorePool;
  readonly happenings: Happenings;
}

export interface StreamHooks {
  readonly onScores?: (frame: ScoredFrame) => void;
  /** Loads another menu, when SIGHUP or a request asks for it; undefined: the menu stays. */
  readonly menus?: MenuLoader;
  /** Called when the pipeline stands, before the first frame. */
  readonly onStart?: (pipeline: Pipeline) => void;
}

/** Metrics with those of the process, and the log. */
export function createHappenings(context: Context): Happenings {
  return new Happenings(context.log, new Metrics({ processMetrics: true }));
}

/** Run a stream to its end and close everything, whatever happens. */
export async function runStream(
  parts: StreamParts,
  settings: StreamSettings,
  context: Context,
  hooks: StreamHooks = {},
): Promise<Pipeline> {
  const { source, sink, pool, happenings } = parts;
  const pipeline = new Pipeline(source, pool, sink, happenings, {
    limits: { maxFrameBytes: settings.maxFrameBytes },
    maxInFlightBytes: settings.maxInFlightBytes,
    maxBatchDelayMs: settings.maxBatchDelayUs / 1000,
    ...transactionLimits(settings),
    ledger: hasLedger(settings),
    ...(hooks.onScores === undefined ? {} : { onScores: hooks.onScores }),
  });
  const { registry } = happenings.metrics;
  registerScoreHistogram(registry, pipeline.totals.histograms, histogramEdge);
  const reloads = new MenuReloads(pipeline, pool, happenings, hooks.menus);
  const closing: (() => Promise<void>)[] = [
    () => source.close(),
    () => parts.claims?.close() ?? Promise.resolve(),
    () => sink.close(),
    () => reloads.close(),
  ];
  let progress: Progress = { stop: () => undefined };
  let failure: { error: unknown } | undefined;
  try {
    const isReloadable = hooks.menus !== undefined && settings.httpReload === 'loopback';
    const pages = await serveTelemetry(registry, settings.httpPort, settings.httpHost, {
      '/menu': menuPage(reloads, isReloadable),
    });
    closing.unshift(() => pages.close());
    context.log.info({ metrics: `${pages.url}/metrics`, source: source.name, sink: sink.name }, 'stream up');
    hooks.onStart?.(pipeline);
    progress = streamProgress(parts, pipeline, context);
    await pipeline.run(context.stop);
    if (parts.resumable && context.stop.aborted && sink.complete !== undefined) {
      context.log.warn(
        { sink: sink.name },
        'stopped before the end: the output is unfinished, --resume goes on with it',
      );
    } else await sink.complete?.();
  } catch (error) {
    failure = { error };
  }
  progress.stop();
  const unclosed = await closeAll(closing, context);
  // What failed first is what the user must hear of.
  failure ??= unclosed;
  if (failure !== undefined) throw failure.error;
  return pipeline;
}

function hasLedger({ ledger }: Partial<Settings<'ledger'>>): boolean {
  return ledger !== undefined && ledger !== 'none';
}

function transactionLimits(settings: Partial<DeliverySettings>): Pick<PipelineOptions, 'transactions'> {
  const {
    transactionIntervalMs: intervalMs,
    transactionMaxFrames: maxFrames,
    transactionMaxBytes: maxBytes,
  } = settings;
  if (intervalMs === undefined || maxFrames === undefined || maxBytes === undefined) return {};
  return { transactions: { intervalMs, maxFrames, maxBytes } };
}

/** Close in order, each whatever became of the others; returns the first failure. */
async function closeAll(
  closing: readonly (() => Promise<void>)[],
  context: Context,
): Promise<{ error: unknown } | undefined> {
  let failure: { error: unknown } | undefined;
  for (const close of closing) {
    try {
      await close();
    } catch (error) {
      context.log.error({ reason: messageOf(error) }, 'did not close cleanly');
      failure ??= { error };
    }
  }
  return failure;
}

/** A bar on a terminal; elsewhere a log line now and then. */
function streamProgress({ source, progress }: StreamParts, pipeline: Pipeline, context: Context): Progress {
  const { totals } = pipeline;
  const rate = (): number => Math.round(totals.events.received / Math.max(totals.elapsedSeconds, 1e-3));
  if (process.stderr.isTTY) {
    return progressOf(source.name, () => {
      const { received, accepted } = totals.events;
      const note = `${grouped(received)} events, ${grouped(accepted)} accepted, ${grouped(rate())} events/s`;
      return { ...(progress?.() ?? { done: 0, total: 1 }), note };
    });
  }
  const timer = setInterval(() => {
    context.log.info({ ...totals.events, eventsPerSecond: rate() }, 'progress');
  }, PROGRESS_LOG_MS);
  return {
    stop: () => {
      clearInterval(timer);
    },
  };
}

/** Collects all scores of a stream and writes them as a NumPy file: float32 (N,), or (paths, N) for several. */
export class ScoresFile {
  readonly #path: string;
  readonly #frames: { readonly scores: Float32Array; readonly events: number }[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  add({ scores, wire }: ScoredFrame): void {
    this.#frames.push({ scores: scores.slice(), events: wire.eventCount });
  }

  async write(paths: number): Promise<void> {
    const total = this.#frames.reduce((sum, { events }) => sum + events, 0);
    const values = new Float32Array(paths * total);
    let at = 0;
    for (const { scores, events } of this.#frames) {
      for (let path = 0; path < paths; path++) {
        values.set(scores.subarray(path * events, (path + 1) * events), path * total + at);
      }
      at += events;
    }
    const shape = paths === 1 ? `(${total},)` : `(${paths}, ${total})`;
    try {
      await writeFile(this.#path, Buffer.concat([npyHeader(shape), Buffer.from(values.buffer)]));
    } catch (error) {
      throw new TriggerError('SINK_FAILED', `--scores ${this.#path}: ${messageOf(error)}`, { cause: error });
    }
  }
}

/** Header of a NumPy file, format 1.0, padded so that the data are aligned (numpy.lib.format). */
function npyHeader(shape: string): Buffer {
  const description = `{'descr': '<f4', 'fortran_order': False, 'shape': ${shape}, }`;
  const length = Math.ceil((10 + description.length + 1) / 64) * 64 - 10;
  const prefix = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, length & 0xff, length >> 8]);
  return Buffer.concat([prefix, Buffer.from(`${description.padEnd(length - 1)}\n`, 'latin1')]);
}
