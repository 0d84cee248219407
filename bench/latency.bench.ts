/**
 * Latency mode: from a frame being due to its decision at part of the sustained rate, from a recording and from Kafka to
 * Kafka (at least once), and where the time goes. Open loop: frames become due at a fixed pace whatever the stream
 * does, and one that has to wait counts from when it was due (no coordinated omission).
 *
 *   npm run bench:latency -- [--load PERCENT] [--seconds N] [--repetitions N] [--frame-events N]
 *                            [--kafka-frame-events N] [--batch-delay-us N] [--json FILE]
 *
 * Small bundle, a worker per core, acceptance 10^-4, the defaults of `nae-trigger run`. Recording: frames of 512 events.
 * Kafka: frames of 4096, due at a producer of a process of its own.
 * The load is of the rate that the same frames sustain: from Kafka the median of three reads of a full topic. Figures
 * are medians over the repetitions, largest in `p99_worst_ms`. "nothing" is the same pace with nothing done, "kafkajs
 * alone" a bare consumer of the same feed: the floors of this machine and of the transport. `decision` is from due to decided, `written` from due
 * to an accepted event acknowledged by the broker; the others are parts of it (src/benchmark/latency-probe.ts).
 */
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';

import { bestBareRuntime } from '#nae/benchmark/bare-runtime.js';
import { fillTopic } from '#nae/benchmark/fill-topic.js';
import { LatencyProbe, type StageQuantiles } from '#nae/benchmark/latency-probe.js';
import { measureLive, type LiveRun } from '#nae/benchmark/measure-kafka.js';
import { measureLatency } from '#nae/benchmark/measure-streams.js';
import { consume } from '#nae/benchmark/measured-process.js';
import { memoryFeed, PacedSource } from '#nae/benchmark/paced-source.js';
import { framesOf, loadWorkload } from '#nae/benchmark/streams.js';
import { median } from '#nae/benchmark/timing.js';
import { startLocalBroker } from '#nae/broker/local-broker.js';
import { silentLogger } from '#nae/telemetry/logger.js';

import { benchArguments, report } from './report.js';
import { DISTINCT_EVENTS, FRAME_EVENTS, shippedBundles } from './workload.js';

const RECORDING = fileURLToPath(new URL('../../models/recordings/sample.l1f.zst', import.meta.url));
const PARTITIONS = 4;
const SUSTAINED_EVENTS = 1 << 21;
const settings = benchArguments({
  ...{ load: 20, seconds: 5, repetitions: 5 },
  ...{ 'frame-events': 512, 'kafka-frame-events': 4096, 'batch-delay-us': 1000 },
});
const { seconds, repetitions } = settings.numbers;
const load = settings.numbers.load / 100;
const maxBatchDelayUs = settings.numbers['batch-delay-us'];
const [{ bundle }] = (await shippedBundles()) as [Awaited<ReturnType<typeof shippedBundles>>[number]];
const workload = await loadWorkload(RECORDING, DISTINCT_EVENTS);
const threshold = await (await bestBareRuntime(bundle, workload.codes)).threshold();

/** A row for each stage: medians over the runs. */
function rowsOf(source: string, eventsPerSecond: number, runs: readonly StageQuantiles[]) {
  const stages = [...new Set(runs.flatMap((run) => Object.keys(run)))] as (keyof StageQuantiles)[];
  return stages.map((stage) => {
    const all = runs.flatMap((run) => run[stage] ?? []);
    const ms = (quantile: 'p50' | 'p99' | 'p999'): number => median(all.map((one) => one[quantile])) * 1000;
    return {
      source,
      stage,
      events_per_second: eventsPerSecond,
      p50_ms: ms('p50'),
      p99_ms: ms('p99'),
      p999_ms: ms('p999'),
      p99_worst_ms: Math.max(...all.map(({ p99 }) => p99)) * 1000,
      records: median(all.map(({ count }) => count)),
    };
  });
}

/** What this machine does to a source that does nothing with its frames: the floor of everything. */
async function paceAlone(intervalMs: number): Promise<StageQuantiles> {
  const probe = new LatencyProbe(true);
  const source = new PacedSource(memoryFeed([new Uint8Array(1)]), Math.ceil((seconds * 1000) / intervalMs), intervalMs);
  source.onOffer = (lateMs) => {
    probe.record('arrival', lateMs);
  };
  const nothing = { offer: () => undefined, idle: () => undefined };
  await source.run(nothing, new AbortController().signal);
  return probe.quantiles;
}

const frameEvents = settings.numbers['frame-events'];
const fromRecording = [];
for (let repetition = 0; repetition < repetitions; repetition++) {
  fromRecording.push(
    await measureLatency({
      ...{ bundle, threshold, workload, frameEvents, seconds, loads: [load] },
      settings: { maxBatchDelayUs },
    }),
  );
}
const points = fromRecording.flatMap((run) => run.points);
const pace = median(points.map(({ eventsPerSecond }) => eventsPerSecond));
const alone: StageQuantiles[] = [];
for (let repetition = 0; repetition < repetitions; repetition++)
  alone.push(await paceAlone((1000 * frameEvents) / pace));
const rows = [
  ...rowsOf('nothing', pace, alone),
  ...rowsOf(
    'recording',
    pace,
    points.map(({ stages }) => stages),
  ),
];

const log = silentLogger();
const topics = ['full', ...Array.from({ length: repetitions }, (_, at) => [`stream-${at}`, `bare-${at}`]).flat()];
const broker = await startLocalBroker({ log, topics: topics.map((name) => ({ name, partitions: PARTITIONS })) });
try {
  const connection = { brokers: broker.brokers };
  await fillTopic(connection, 'full', framesOf(workload, FRAME_EVENTS, SUSTAINED_EVENTS));
  const rates: number[] = [];
  for (let read = 0; read < 3; read++) {
    const model = { directory: bundle.directory, threshold };
    const { events, fromFirstFrame } = await consume({ connection, topic: 'full', group: randomUUID(), model });
    rates.push(events / fromFirstFrame!.seconds);
  }
  const eventsPerSecond = load * median(rates);
  const live = async (topic: string, model: LiveRun['model']): Promise<StageQuantiles> => {
    const { stages, feedLateSeconds } = await measureLive({
      ...{ model, connection, topic, recording: RECORDING, load, eventsPerSecond, seconds },
      ...{ frameEvents: settings.numbers['kafka-frame-events'], settings: { maxBatchDelayUs } },
    });
    console.error(`${topic}: the last frame was sent ${(feedLateSeconds * 1000).toFixed(1)} ms late`);
    return stages;
  };
  const runs: { stream: StageQuantiles; bare: StageQuantiles }[] = [];
  for (let repetition = 0; repetition < repetitions; repetition++) {
    const stream = await live(`stream-${repetition}`, { directory: bundle.directory, threshold });
    runs.push({ stream, bare: await live(`bare-${repetition}`, undefined) });
  }
  rows.push(
    ...rowsOf(
      'Kafka to Kafka',
      eventsPerSecond,
      runs.map(({ stream }) => stream),
    ),
  );
  rows.push(
    ...rowsOf(
      'kafkajs alone',
      eventsPerSecond,
      runs.map(({ bare }) => bare),
    ),
  );
} finally {
  await broker.stop();
}
report('latency', settings, rows);
