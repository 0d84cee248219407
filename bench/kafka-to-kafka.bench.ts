/**
 * Kafka → Kafka: a topic of HW32 frames through `nae-trigger run` with its low acceptance, against kafkajs that
 * consumes the same topic and does nothing with it. Starts its own local broker. Every measured run is a process of
 * its own, stream and bare consumption in turn; figures are medians.
 *
 *   npm run bench:kafka -- [--events N] [--repetitions N] [--partitions N] [--json FILE]
 *
 * `cpu_seconds` is user and system time of the measured process without its start, but with the compiling of JavaScript
 * that goes on meanwhile (about 0.3 s); `rss_bytes` its largest resident
 * set. `cpu_ratio` is CPU per event over that of bare consumption plus bare onnxruntime, which is what it could be.
 */
import { randomUUID } from 'node:crypto';

import { bestBareRuntime } from '#nae/benchmark/bare-runtime.js';
import { fillTopic } from '#nae/benchmark/fill-topic.js';
import type { ConsumeOutcome } from '#nae/benchmark/consume.js';
import { consume } from '#nae/benchmark/measured-process.js';
import { median, timed } from '#nae/benchmark/timing.js';
import { startLocalBroker } from '#nae/broker/local-broker.js';
import { silentLogger } from '#nae/telemetry/logger.js';

import { benchArguments, report } from './report.js';
import { DISTINCT_EVENTS, distinctCodes, frames, shippedBundles } from './workload.js';

const TOPIC = 'l1.frames';
const settings = benchArguments({ events: 1 << 22, repetitions: 5, partitions: 4 });
const { events, repetitions, partitions } = settings.numbers;
const log = silentLogger();
const codes = distinctCodes();

const broker = await startLocalBroker({ log, topics: [{ name: TOPIC, partitions }] });
try {
  await fillTopic(broker, TOPIC, frames(codes, events));

  const rows: Record<string, string | number>[] = [];
  for (const { size, name, bundle } of await shippedBundles()) {
    const bare = await bestBareRuntime(bundle, codes);
    const threshold = await bare.threshold();
    const rounds: { stream: ConsumeOutcome; kafka: ConsumeOutcome; runtimeCpu: number }[] = [];
    for (let repetition = 0; repetition < repetitions; repetition++) {
      const stream = await consume({
        connection: { brokers: broker.brokers },
        topic: TOPIC,
        group: randomUUID(),
        model: { directory: bundle.directory, threshold },
      });
      const kafka = await consume({
        connection: { brokers: broker.brokers },
        topic: TOPIC,
        group: randomUUID(),
        model: undefined,
      });
      const { cpuSeconds } = await timed(() => bare.run(DISTINCT_EVENTS));
      rounds.push({ stream, kafka, runtimeCpu: cpuSeconds / DISTINCT_EVENTS });
    }
    const over = (value: (round: (typeof rounds)[number]) => number): number => median(rounds.map(value));
    const cpu = (outcome: ConsumeOutcome): number => outcome.cpuSeconds / outcome.events;
    rows.push({
      size,
      bundle: name,
      cpu_ratio: over(({ stream, kafka, runtimeCpu }) => cpu(stream) / (cpu(kafka) + runtimeCpu)),
      events_per_second: over(({ stream }) => stream.events / stream.seconds),
      events_per_cpu_second: over(({ stream }) => stream.events / stream.cpuSeconds),
      cpu_seconds: over(({ stream }) => stream.cpuSeconds),
      rss_bytes: over(({ stream }) => stream.rssBytes),
      accepted: over(({ stream }) => stream.accepted.length),
      kafkajs_events_per_second: over(({ kafka }) => kafka.events / kafka.seconds),
      kafkajs_events_per_cpu_second: over(({ kafka }) => kafka.events / kafka.cpuSeconds),
      kafkajs_cpu_seconds: over(({ kafka }) => kafka.cpuSeconds),
      kafkajs_rss_bytes: over(({ kafka }) => kafka.rssBytes),
      bare_events_per_cpu_second: over(({ runtimeCpu }) => 1 / runtimeCpu),
    });
  }
  report('kafka-to-kafka', settings, rows);
} finally {
  await broker.stop();
}
