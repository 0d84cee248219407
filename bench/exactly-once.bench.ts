/**
 * What exactly once costs: the same topic through the stream at least once, exactly once, and exactly once with a
 * ledger, in turn, each run a process and a consumer group of its own, with the defaults of `nae-trigger run`. Figures
 * are medians; ratios are medians over the rounds, of events per second to those at least once in the same round.
 *
 *   npm run bench:exactly-once -- [--events N] [--repetitions N] [--partitions N] [--json FILE]
 *
 * Seconds run from the first frame to the last commit; `ratio_with_start` has joining the group and claiming the
 * partitions in it, which take the same time however long a stream runs.
 */
import { randomUUID } from 'node:crypto';

import { bestBareRuntime } from '#nae/benchmark/bare-runtime.js';
import type { ConsumeJob, ConsumeOutcome } from '#nae/benchmark/consume.js';
import { consume } from '#nae/benchmark/measured-process.js';
import { median } from '#nae/benchmark/timing.js';
import { startLocalBroker } from '#nae/broker/local-broker.js';
import { FrameProducer } from '#nae/replay/frame-producer.js';
import { silentLogger } from '#nae/telemetry/logger.js';

import { benchArguments, report } from './report.js';
import { distinctCodes, encodedFrames, shippedBundles } from './workload.js';

const TOPIC = 'l1.frames';
const settings = benchArguments({ events: 1 << 22, repetitions: 5, partitions: 4 });
const { events, repetitions, partitions } = settings.numbers;
const log = silentLogger();
const codes = distinctCodes();

const WAYS: Readonly<Record<string, Pick<ConsumeJob, 'exactlyOnce'>>> = {
  'at-least-once': {},
  'exactly-once': { exactlyOnce: { ledger: false } },
  'with ledger': { exactlyOnce: { ledger: true } },
};

const broker = await startLocalBroker({ log, topics: [{ name: TOPIC, partitions }] });
try {
  const producer = await FrameProducer.open({ connection: broker, topic: TOPIC, log });
  for (const { orbit, bytes } of encodedFrames(codes, events)) await producer.send({ run: 1, orbit, bytes });
  await producer.flush();
  await producer.close();

  const rows: Record<string, string | number>[] = [];
  for (const { size, name, bundle } of await shippedBundles()) {
    const threshold = await (await bestBareRuntime(bundle, codes)).threshold();
    const model = { directory: bundle.directory, threshold };
    const runs = new Map<string, ConsumeOutcome[]>(Object.keys(WAYS).map((way) => [way, []]));
    for (let repetition = 0; repetition < repetitions; repetition++) {
      for (const [way, delivery] of Object.entries(WAYS)) {
        const outcome = await consume({
          brokers: broker.brokers,
          topic: TOPIC,
          group: randomUUID(),
          model,
          ...delivery,
        });
        if (outcome.events !== events) throw new Error(`${way}: expected ${events} events, received ${outcome.events}`);
        runs.get(way)!.push(outcome);
      }
    }
    const base = runs.get('at-least-once')!;
    for (const [way, outcomes] of runs) {
      const ratios = outcomes.map(({ streamSeconds }, round) => base[round]!.streamSeconds! / streamSeconds!);
      rows.push({
        size,
        bundle: name,
        way,
        ratio: median(ratios),
        lowest: Math.min(...ratios),
        highest: Math.max(...ratios),
        ratio_with_start: median(outcomes.map(({ seconds }, round) => base[round]!.seconds / seconds)),
        cpu_ratio: median(outcomes.map(({ cpuSeconds }, round) => base[round]!.cpuSeconds / cpuSeconds)),
        events_per_second: median(outcomes.map(({ streamSeconds }) => events / streamSeconds!)),
        accepted: median(outcomes.map(({ accepted }) => accepted.length)),
      });
    }
  }
  report('exactly-once', settings, rows);
} finally {
  await broker.stop();
}
