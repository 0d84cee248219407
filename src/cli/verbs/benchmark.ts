/**
 * `benchmark`: the 40 MHz report.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';

import { clusterWith, type Cluster } from '../../benchmark/cluster.js';
import { fillTopic } from '../../benchmark/fill-topic.js';
import { measureKafka, measureLive, type KafkaBench, type LiveResult } from '../../benchmark/measure-kafka.js';
import { FRAME_EVENTS, measureLatency, measureRecording, measureScaling } from '../../benchmark/measure-streams.js';
import { PythonPeer } from '../../benchmark/python-peer.js';
import { documentOf, sustainedOf, type BenchmarkReport, type ModelReport } from '../../benchmark/report-document.js';
import { asHtml, asMarkdown, figuresOf } from '../../benchmark/render.js';
import { measureRoofline } from '../../benchmark/roofline.js';
import { framesOf, loadWorkload } from '../../benchmark/streams.js';
import type { Repetitions } from '../../benchmark/timing.js';
import { probeLocalBroker } from '../../broker/kafka-distribution.js';
import { messageOf, TriggerError } from '../../errors.js';
import type { KafkaConnection } from '../../kafka/client.js';
import { loadBundle } from '../../model/bundle.js';
import { brokersOf, connectionOf } from '../kafka.js';
import { bundleFolder, PACKAGE_ROOT } from '../models.js';
import { report } from '../result.js';
import { COMMON_OPTIONS, defineVerb, KAFKA_OPTIONS, type Context } from '../verb.js';

const MODELS = [
  { size: 's', name: 'nae-events-s' },
  { size: 'm', name: 'nae-events-m' },
] as const;
const RECORDING = join(PACKAGE_ROOT, 'models', 'recordings', 'sample.l1f.zst');
const DISTINCT_EVENTS = 32 * FRAME_EVENTS;

/** What is measured, so that it takes about as long wherever it runs. */
interface Plan {
  /** How often the stream and the bare runtime run in turn. */
  readonly pairs: Repetitions;
  /** What the measured topic is to keep the whole machine busy for with the small model [s], about. */
  readonly topicSeconds: number;
  /** Rounds of all that is compared from Kafka to Kafka. */
  readonly rounds: Repetitions;
  /** Of each load [s]. */
  readonly latencySeconds: number;
  /** Of the rate from Kafka to Kafka. */
  readonly liveLoads: readonly number[];
}

const FULL: Plan = {
  pairs: { least: 5, most: 7, limitSeconds: 9 },
  topicSeconds: 0.7,
  rounds: { least: 3, most: 5, limitSeconds: 40 },
  latencySeconds: 3.2,
  liveLoads: [0.2, 0.5],
};
const QUICK: Plan = {
  pairs: { least: 1, most: 1, limitSeconds: 0 },
  topicSeconds: 0.3,
  rounds: { least: 1, most: 1, limitSeconds: 0 },
  latencySeconds: 0.5,
  liveLoads: [0.2],
};
const TOPIC_EVENTS = { least: 1 << 18, most: 1 << 24 } as const;

export const benchmarkVerb = defineVerb({
  name: 'benchmark',
  summary: 'the 40 MHz report: rates, latencies, scaling and bounds of this machine',
  arguments: [],
  options: ['broker', 'quick', 'reportDir', ...KAFKA_OPTIONS, ...COMMON_OPTIONS],
  async run(settings, _positional, context) {
    const connection = brokersOf(settings) === undefined ? undefined : connectionOf(settings);
    const result = await measureAll(settings.quick ? QUICK : FULL, settings.broker, connection, context);
    const json = asJson(result);
    const document = documentOf(result);
    const text = asMarkdown(document);
    try {
      await mkdir(settings.reportDir, { recursive: true });
      await writeFile(join(settings.reportDir, 'report.md'), text);
      await writeFile(join(settings.reportDir, 'report.html'), asHtml(document));
      for (const { file, svg } of figuresOf(document)) await writeFile(join(settings.reportDir, file), svg);
      await writeFile(join(settings.reportDir, 'report.json'), `${JSON.stringify(json, null, 2)}\n`);
    } catch (error) {
      throw new TriggerError('SINK_FAILED', `--report-dir ${settings.reportDir}: ${messageOf(error)}`, {
        cause: error,
      });
    }
    context.log.info(`the report is ${join(settings.reportDir, 'report.html')}`);
    await report(settings.json, json, text);
  },
});

async function measureAll(
  plan: Plan,
  broker: 'auto' | 'none',
  connection: KafkaConnection | undefined,
  context: Context,
): Promise<BenchmarkReport> {
  const { log, stop } = context;
  const began = performance.now();
  const loadAverage = loadavg()[0]!;
  const skipped: string[] = [];
  const workload = await loadWorkload(RECORDING, DISTINCT_EVENTS);
  const step = (what: string): void => {
    if (stop.aborted) throw new TriggerError('USAGE', 'interrupted before the report was complete');
    log.info(`${((performance.now() - began) / 1000).toFixed(0)} s: ${what}`);
  };
  const topic = `benchmark-${randomUUID()}`;
  const live = MODELS.flatMap(({ size }) => plan.liveLoads.map((load) => liveTopic(topic, size, load)));
  const openCluster = (): Promise<Cluster> => clusterWith([topic, ...live], connection, log);
  const missing = broker === 'none' ? 'it was switched off with --broker none' : await missingBroker(connection);
  // A given one first: what is wrong with it comes out before minutes are spent. A local one later: it takes CPU time.
  let cluster = missing === undefined && connection !== undefined ? await openCluster() : undefined;
  try {
    step('roofline');
    const roofline = await measureRoofline();
    const models: Omit<ModelReport, 'kafka'>[] = [];
    const bundles = await Promise.all(MODELS.map(({ name }) => loadBundle(bundleFolder(name) ?? name)));
    for (const [at, { size, name }] of MODELS.entries()) {
      const bundle = bundles[at]!;
      step(`${name}: recording to decision`);
      const recording = await measureRecording(bundle, workload, plan.pairs);
      const { threshold, eventsPerSecond } = recording;
      step(`${name}: scaling with workers`);
      const scaling = await measureScaling(bundle, threshold, workload, eventsPerSecond);
      step(`${name}: latency`);
      const latency = await measureLatency({ bundle, threshold, workload, seconds: plan.latencySeconds });
      const { flop_per_event: flopPerEvent } = bundle.manifest;
      models.push({ size, bundle: name, flopPerEvent, recording, scaling, latency });
    }
    const kafka: Partial<Record<'s' | 'm', ModelReport['kafka']>> = {};
    if (missing === undefined) {
      step('a topic of frames');
      cluster ??= await openCluster();
      const bench: KafkaBench = { connection: cluster.connection, topic, workload };
      const events = topicEvents(plan.topicSeconds, models[0]!.scaling);
      await fillTopic(cluster.connection, topic, framesOf(workload, FRAME_EVENTS, events));
      const python = pythonPeer(connection, skipped);
      for (const [at, { size, name }] of MODELS.entries()) {
        const bundle = bundles[at]!;
        step(`${name}: Kafka to Kafka`);
        const result = await measureKafka(bundle, bench, plan.rounds, python);
        step(`${name}: latency from Kafka to Kafka`);
        const model = { directory: bundle.directory, threshold: models[at]!.recording.threshold };
        const points: LiveResult[] = [];
        for (const load of plan.liveLoads) {
          points.push(
            await measureLive({
              ...{ model, recording: RECORDING, frameEvents: FRAME_EVENTS, seconds: plan.latencySeconds },
              ...{ connection: cluster.connection, topic: liveTopic(topic, size, load) },
              ...{ load, eventsPerSecond: load * result.eventsPerSecond },
            }),
          );
        }
        kafka[size] = { ...result, live: points };
      }
    } else {
      skipped.push(`Kafka to Kafka: ${missing}.`);
    }
    skipped.push('GPU: no run on one is part of this report.');
    return {
      ...conditionsNow(loadAverage, (performance.now() - began) / 1000),
      quick: plan === QUICK,
      roofline,
      models: models.map((model) => ({ ...model, kafka: kafka[model.size] })),
      skipped,
    };
  } finally {
    await cluster?.end();
  }
}

async function missingBroker(connection: KafkaConnection | undefined): Promise<string | undefined> {
  return connection === undefined ? probeLocalBroker() : undefined;
}

/** Where and with what it is measured. */
function conditionsNow(
  loadAverage: number,
  seconds: number,
): Pick<BenchmarkReport, 'machine' | 'date' | 'seconds' | 'versions'> {
  const require = createRequire(import.meta.url);
  const versionOf = (name: string): string => (require(`${name}/package.json`) as { version: string }).version;
  return {
    machine: {
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: availableParallelism(),
      memoryBytes: totalmem(),
      loadAverage,
    },
    date: new Date().toISOString(),
    seconds,
    versions: {
      'nae-trigger': (require(join(PACKAGE_ROOT, 'package.json')) as { version: string }).version,
      'Node.js': process.versions.node,
      'onnxruntime-node': versionOf('onnxruntime-node'),
      kafkajs: versionOf('kafkajs'),
    },
  };
}

/** As many events as take about as long wherever it runs. */
function topicEvents(seconds: number, scaling: ModelReport['scaling']): number {
  const rate = Math.max(...scaling.map(({ eventsPerSecond }) => eventsPerSecond));
  const events = Math.min(TOPIC_EVENTS.most, Math.max(TOPIC_EVENTS.least, rate * seconds));
  return FRAME_EVENTS * Math.round(events / FRAME_EVENTS);
}

/** The Python peer where it can run; else a line that says why it does not. */
function pythonPeer(connection: KafkaConnection | undefined, skipped: string[]): PythonPeer | undefined {
  const python = PythonPeer.find(join(PACKAGE_ROOT, 'bench', 'peers', 'python'));
  if (python === undefined) skipped.push('The Python peer: `npm run bench:peers` installs it.');
  else if (connection?.tls === undefined && connection?.sasl === undefined) return python;
  else skipped.push('The Python peer: it speaks neither TLS nor SASL.');
  return undefined;
}

/** Every load has a topic of its own, so that nobody reads what another left. */
function liveTopic(topic: string, size: string, load: number): string {
  return `${topic}.live-${size}-${load * 100}`;
}

function lowestOf(values: readonly (number | undefined)[]): number | null {
  const measured = values.filter((value) => value !== undefined);
  return measured.length === 0 ? null : Math.min(...measured);
}

/** The ratios first, then everything that was measured; null where it was not. */
function asJson(result: BenchmarkReport): object {
  const perSize = <T>(value: (model: ModelReport) => T): Record<string, T> =>
    Object.fromEntries(result.models.map((model) => [model.size, value(model)]));
  return {
    ratios: {
      recording_to_decision: perSize(({ recording }) => recording.ratio.median),
      recording_to_decision_cpu: perSize(({ recording }) => recording.ratioCpu.median),
      kafka_to_kafka: perSize(({ kafka }) => kafka?.cpuRatio.median ?? null),
      peer_python: perSize(({ kafka }) => kafka?.peer?.ratio.median ?? null),
      exactly_once: lowestOf(result.models.map(({ kafka }) => kafka?.exactlyOnce.median)),
    },
    events_per_second: {
      sustained: perSize(sustainedOf),
      recording_to_decision: perSize(({ recording }) => recording.eventsPerSecond),
      kafka_to_kafka: perSize(({ kafka }) => kafka?.eventsPerSecond ?? null),
    },
    latency_seconds: perSize(({ latency }) =>
      Object.fromEntries(latency.points.map(({ load, quantiles }) => [String(load), quantiles])),
    ),
    kafka_latency_seconds: perSize(({ kafka }) =>
      Object.fromEntries(kafka?.live.map(({ load, stages }) => [String(load), stages.decision ?? null]) ?? []),
    ),
    ...result,
  };
}
