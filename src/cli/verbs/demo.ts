/**
 * `demo`: the whole path on one machine. Starts a local broker where none is given, replays a recording into it,
 * runs the emulator on it and reads back what was accepted.
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { probeLocalBroker } from '../../broker/kafka-distribution.js';
import { startLocalBroker } from '../../broker/local-broker.js';
import type { Settings } from '../../config/options.js';
import { TriggerError } from '../../errors.js';
import type { AcceptedEvent } from '../../event/accepted-event.js';
import { decodeFrame, isFrameFault } from '../../event/frame.js';
import { CROSSING_RATE_HZ } from '../../event/layout.js';
import type { Pipeline } from '../../pipeline/pipeline.js';
import { openRecording } from '../../recording/open.js';
import { FrameProducer } from '../../replay/frame-producer.js';
import { AcceptedReader, startGroupAtEnd } from '../accepted-reader.js';
import { brokersOf, connectionOf } from '../kafka.js';
import { openPaths, PACKAGE_ROOT } from '../models.js';
import { replay } from '../replayer.js';
import { grouped, report, table } from '../result.js';
import {
  createHappenings,
  openPoolAndSink,
  openRecordingSource,
  openTopicSource,
  runStream,
  type EndpointSettings,
} from '../stream.js';
import { summaryText } from '../summary.js';
import { COMMON_OPTIONS, defineVerb, DELIVERY_OPTIONS, KAFKA_OPTIONS, SCORING_OPTIONS, type Context } from '../verb.js';

const SHIPPED_RECORDING = join(PACKAGE_ROOT, 'models', 'recordings', 'sample.l1f.zst');
const FRAMES_TOPIC = 'l1.frames';
const ACCEPTED_TOPIC = 'l1.accepted';

/** With --stay the replay never ends, but the disk does. */
const BOUNDED_LOG = {
  'log.segment.bytes': String(64 * 1024 * 1024),
  'log.retention.bytes': String(256 * 1024 * 1024),
  'log.retention.check.interval.ms': '10000',
};
/** Pace of --stay: 100 000 events/s, which leaves a small machine room to look around. */
const STAY_SPEED = 1e5 / CROSSING_RATE_HZ;

const OPTION_NAMES = [
  'recording',
  'model',
  'targetRate',
  'threshold',
  'cascade',
  'stay',
  'broker',
  ...KAFKA_OPTIONS,
  ...DELIVERY_OPTIONS,
  'deadLetter',
  'partitions',
  'frameEvents',
  'inputRateHz',
  'httpPort',
  'httpHost',
  ...SCORING_OPTIONS,
  ...COMMON_OPTIONS,
] as const;
type DemoSettings = Settings<(typeof OPTION_NAMES)[number]>;

export const demoVerb = defineVerb({
  name: 'demo',
  summary: 'show the whole path: local Kafka, replay of the shipped recording, emulator, accepted events read back',
  arguments: [],
  options: OPTION_NAMES,
  async run(settings, _positional, context) {
    const recording = settings.recording ?? SHIPPED_RECORDING;
    if (settings.broker === 'none') return withoutBroker(settings, recording, context);
    if (brokersOf(settings) !== undefined) return withBroker(settings, recording, context);
    const reason = await probeLocalBroker();
    if (reason !== undefined) {
      context.log.warn({ reason }, 'no local Kafka; running the recording through the pipeline without a broker');
      return withoutBroker(settings, recording, context);
    }
    const broker = await startLocalBroker({ log: context.log, properties: BOUNDED_LOG });
    try {
      await withBroker({ ...settings, brokers: [...broker.brokers] }, recording, context);
    } finally {
      await broker.stop();
    }
  },
});

/** Replay into a topic, run from it, read the accepted events back from theirs. */
async function withBroker(settings: DemoSettings, recording: string, context: Context): Promise<void> {
  const truth = await labelCounts(recording);
  const paths = await openPaths(settings);
  const endpoints: EndpointSettings = { ...settings, group: `nae-trigger-demo-${randomUUID()}` };
  const connection = connectionOf(endpoints);
  const producer = await FrameProducer.open({
    connection,
    topic: FRAMES_TOPIC,
    log: context.log,
    createWithPartitions: settings.partitions,
  });
  const stopStream = new AbortController();
  const state = { events: 0, frames: 0, faults: 0, done: 0, total: 1, elapsedSeconds: 0 };
  try {
    // The topics of an existing cluster may hold earlier frames: everything here counts from where they end now.
    const readBack = await AcceptedReader.open(connection, ACCEPTED_TOPIC, context.log);
    const happenings = createHappenings(context);
    const { source, claims } = openTopicSource(
      FRAMES_TOPIC,
      { ...settings, ...endpoints },
      `kafka:${ACCEPTED_TOPIC}`,
      false,
      happenings,
    );
    await startGroupAtEnd(connection, FRAMES_TOPIC, endpoints.group, context.log);
    const input = { source, progress: () => ({ ...state }), labelNames: truth.names, claims };
    const { pool, sink } = await openPoolAndSink(
      paths,
      `kafka:${ACCEPTED_TOPIC}`,
      { ...settings, ...endpoints, overwrite: false },
      { resumable: false },
      { labelNames: truth.names, provenance: new Map() },
      happenings,
    );
    let replaying: Promise<void> = Promise.resolve();
    const onStart = (pipeline: Pipeline): void => {
      replaying = replay(
        {
          path: recording,
          ...(settings.stay ? { pace: 'lhc', speed: STAY_SPEED, loop: Infinity } : { pace: 'max', speed: 1, loop: 1 }),
          run: undefined,
          frameEvents: settings.frameEvents,
        },
        producer,
        context.stop,
        state,
      )
        .then(() => allReceived(pipeline, state, context.stop))
        .finally(() => {
          stopStream.abort();
        });
      // Awaited below; a failed stream must be reported first.
      replaying.catch(() => undefined);
    };
    const pipeline = await runStream(
      { ...input, resumable: false, sink, pool, happenings },
      settings,
      { ...context, stop: stopStream.signal },
      { onStart },
    );
    await replaying;
    const accepted = await readBack.read();
    const summary = pipeline.totals.summary();
    if (accepted.length !== summary.events.accepted) {
      throw new TriggerError(
        'SINK_FAILED',
        `${ACCEPTED_TOPIC}: expected ${summary.events.accepted} accepted events, read back ${accepted.length}`,
      );
    }
    const text = [
      summaryText(summary, settings.inputRateHz),
      ...(settings.stay ? [] : [truthText(truth, accepted), '']),
      `${ACCEPTED_TOPIC} read back by a consumer of its own: ${grouped(accepted.length)} accepted events, all there`,
    ].join('\n');
    await report(settings.json, summary, text);
  } finally {
    await producer.close();
  }
}

/** Resolves once the stream has received as many frames as were sent, or is being stopped. */
async function allReceived(pipeline: Pipeline, sent: { frames: number }, stop: AbortSignal): Promise<void> {
  while (!stop.aborted && pipeline.totals.frames.received < sent.frames) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The same recording through the same pipeline, file to file. */
async function withoutBroker(settings: DemoSettings, recording: string, context: Context): Promise<void> {
  const truth = await labelCounts(recording);
  const paths = await openPaths(settings);
  const output = join(await mkdtemp(join(tmpdir(), 'nae-trigger-demo-')), 'accepted.l1f');
  const happenings = createHappenings(context);
  const input = await openRecordingSource(recording, settings);
  const { pool, sink } = await openPoolAndSink(
    paths,
    output,
    { ...settings, group: '', overwrite: false },
    input,
    { labelNames: input.labelNames, provenance: new Map([['source', recording]]) },
    happenings,
  );
  const pipeline = await runStream({ ...input, resumable: false, sink, pool, happenings }, settings, context);
  const summary = pipeline.totals.summary();
  const accepted = await labelCounts(output);
  await report(
    settings.json,
    summary,
    [
      summaryText(summary, settings.inputRateHz),
      countsText(truth, accepted.counts),
      '',
      `accepted events are in ${output}, their decisions in ${output}.accepted.jsonl`,
    ].join('\n'),
  );
}

interface Truth {
  readonly names: ReadonlyMap<number, string>;
  /** Events per label. */
  readonly counts: ReadonlyMap<number, number>;
}

async function labelCounts(recording: string): Promise<Truth> {
  const reader = await openRecording(recording);
  const counts = new Map<number, number>();
  try {
    for await (const { bytes } of reader.frames()) {
      const frame = decodeFrame(bytes);
      if (isFrameFault(frame)) continue;
      for (const label of frame.labels) counts.set(label, (counts.get(label) ?? 0) + 1);
    }
  } finally {
    await reader.close();
  }
  return { names: reader.header.labelNames, counts };
}

function truthText(truth: Truth, accepted: readonly AcceptedEvent[]): string {
  const counts = new Map<number, number>();
  for (const { label } of accepted) {
    if (label !== undefined) counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  return countsText(truth, counts);
}

/** What the recording says its events are, and how many of each were accepted. */
function countsText({ names, counts }: Truth, accepted: ReadonlyMap<number, number>): string {
  const rows = Array.from(counts)
    .sort(([a], [b]) => a - b)
    .map(([label, events]) => [
      names.get(label) ?? `label ${label}`,
      grouped(events),
      grouped(accepted.get(label) ?? 0),
      ((accepted.get(label) ?? 0) / events).toPrecision(3),
    ]);
  return rows.length === 0 ? '' : table([['truth', 'events', 'accepted', 'efficiency'], ...rows]);
}
