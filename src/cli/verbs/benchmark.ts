/**
 * `benchmark`: the 40 MHz report.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { join } from 'node:path';

import {
  PARTITIONS,
  fillTopic,
  measureKafka,
  measureLatency,
  measureRecording,
  measureScaling,
  outputTopics,
} from '../../benchmark/measure.js';
import { PythonPeer } from '../../benchmark/python-peer.js';
import { latencySvg, markdown, sustainedOf, type BenchmarkReport, type ModelReport } from '../../benchmark/render.js';
import { measureRoofline } from '../../benchmark/roofline.js';
import { loadWorkload } from '../../benchmark/streams.js';
import { probeLocalBroker } from '../../broker/kafka-distribution.js';
import { startLocalBroker } from '../../broker/local-broker.js';
import { messageOf, TriggerError } from '../../errors.js';
import { connectAdmin, createKafka, type KafkaConnection } from '../../kafka/client.js';
import { createMissingTopics, missingTopics } from '../../kafka/topics.js';
import { loadBundle } from '../../model/bundle.js';
import type { Logger } from '../../telemetry/logger.js';
import { brokersOf } from '../kafka.js';
import { bundleFolder, PACKAGE_ROOT } from '../models.js';
import { report } from '../result.js';
import { COMMON_OPTIONS, defineVerb, type Context } from '../verb.js';

const MODELS = [
  { size: 's', name: 'nae-events-s' },
  { size: 'm', name: 'nae-events-m' },
] as const;
const RECORDING = join(PACKAGE_ROOT, 'models', 'recordings', 'sample.l1f.zst');
const DISTINCT_EVENTS = 32 * 4096;
const RECORDING_EVENTS = 1 << 20;
const KAFKA_EVENTS = 1 << 21;
const RECORDING_REPETITIONS = 7;
const KAFKA_REPETITIONS = 5;

export const benchmarkVerb = defineVerb({
  name: 'benchmark',
  summary: 'the 40 MHz report: rates, latencies, scaling and bounds of this machine',
  arguments: [],
  options: ['broker', 'brokers', 'reportDir', ...COMMON_OPTIONS],
  async run(settings, _positional, context) {
    const result = await measureAll(settings.broker, brokersOf(settings), context);
    const json = asJson(result);
    const text = markdown(result);
    try {
      await mkdir(settings.reportDir, { recursive: true });
      await writeFile(join(settings.reportDir, 'report.md'), text);
      await writeFile(join(settings.reportDir, 'latency.svg'), latencySvg(result.models));
      await writeFile(join(settings.reportDir, 'report.json'), `${JSON.stringify(json, null, 2)}\n`);
    } catch (error) {
      throw new TriggerError('SINK_FAILED', `--report-dir ${settings.reportDir}: ${messageOf(error)}`, {
        cause: error,
      });
    }
    await report(settings.json, json, text);
  },
});

async function measureAll(
  broker: 'auto' | 'none',
  brokers: readonly string[] | undefined,
  context: Context,
): Promise<BenchmarkReport> {
  const { log, stop } = context;
  const loadAverage = loadavg()[0]!;
  const skipped = ['GPU: no run on one is part of this report.'];
  const workload = await loadWorkload(RECORDING, DISTINCT_EVENTS);
  const step = (what: string): void => {
    if (stop.aborted) throw new TriggerError('USAGE', 'interrupted before the report was complete');
    log.info(what);
  };
  step('roofline');
  const roofline = await measureRoofline();
  const models: Omit<ModelReport, 'kafka'>[] = [];
  const bundles = await Promise.all(MODELS.map(({ name }) => loadBundle(bundleFolder(name) ?? name)));
  for (const [at, { size, name }] of MODELS.entries()) {
    const bundle = bundles[at]!;
    step(`${name}: recording to decision`);
    const recording = await measureRecording(bundle, workload, RECORDING_EVENTS, RECORDING_REPETITIONS);
    step(`${name}: scaling`);
    const scaling = await measureScaling(bundle, recording.threshold, workload, RECORDING_EVENTS);
    step(`${name}: latency`);
    const latency = await measureLatency(bundle, recording.threshold, workload);
    const { flop_per_event: flopPerEvent } = bundle.manifest;
    models.push({ size, bundle: name, flopPerEvent, recording, scaling, latency });
  }
  const missing =
    broker === 'none'
      ? 'it was switched off with --broker none'
      : brokers === undefined
        ? await probeLocalBroker()
        : undefined;
  const python = PythonPeer.find(join(PACKAGE_ROOT, 'bench', 'peers', 'python'));
  if (python === undefined) skipped.push('The Python peer: `npm run bench:peers` installs it.');
  const kafka: Partial<Record<'s' | 'm', ModelReport['kafka']>> = {};
  if (missing === undefined) {
    const topic = `benchmark-${randomUUID()}`;
    const cluster = await clusterWith(topic, brokers, log);
    try {
      await fillTopic(cluster, topic, workload, KAFKA_EVENTS, log);
      for (const [at, { size, name }] of MODELS.entries()) {
        step(`${name}: Kafka to Kafka`);
        kafka[size] = await measureKafka(bundles[at]!, cluster.brokers, topic, workload, KAFKA_REPETITIONS, python);
      }
    } finally {
      await cluster.end();
    }
  } else {
    skipped.push(`Kafka to Kafka: ${missing}.`);
  }
  const require = createRequire(import.meta.url);
  const versionOf = (name: string): string => (require(`${name}/package.json`) as { version: string }).version;
  return {
    machine: { cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), loadAverage },
    versions: {
      node: process.versions.node,
      'onnxruntime-node': versionOf('onnxruntime-node'),
      kafkajs: versionOf('kafkajs'),
    },
    roofline,
    models: models.map((model) => ({ ...model, kafka: kafka[model.size] })),
    skipped,
  };
}

interface Cluster extends KafkaConnection {
  end(): Promise<void>;
}

/** The cluster that was given, or a local one, with the topic; at the end a given one is left as it was found. */
async function clusterWith(topic: string, brokers: readonly string[] | undefined, log: Logger): Promise<Cluster> {
  const partitions = PARTITIONS;
  if (brokers === undefined) {
    const local = await startLocalBroker({ log, topics: [{ name: topic, partitions }] });
    return { brokers: local.brokers, end: () => local.stop() };
  }
  const connection = { brokers };
  const admin = await connectAdmin(createKafka(connection, log), connection);
  await createMissingTopics(admin, [{ topic, partitions }]);
  const end = async (): Promise<void> => {
    const topics = [topic, ...outputTopics(topic)];
    const missing = await missingTopics(admin, topics);
    await admin.deleteTopics({ topics: topics.filter((one) => !missing.includes(one)) });
    await admin.disconnect();
  };
  return { brokers, end };
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
    ...result,
  };
}
