/**
 * What exactly once costs: the same topic through the stream at least once and exactly once, in turn, each run a
 * process and a consumer group of its own, with the defaults of `nae-trigger run` but without a ledger. Figures are
 * medians; ratios are medians over the rounds, of events per second to those at least once in the same round.
 *
 *   npm run bench:exactly-once -- [--events N] [--repetitions N] [--partitions N] [--json FILE]
 *
 * Seconds run from the first frame to the last commit; `ratio_with_start` has joining the group and claiming the
 * partitions in it, which take the same time however long a stream runs.
 */
import { randomUUID } from 'node:crypto';

import { bestBareRuntime } from '#nae/benchmark/bare-runtime.js';
import { fillTopic } from '#nae/benchmark/fill-topic.js';
import type { ConsumeJob, ConsumeOutcome } from '#nae/benchmark/consume.js';
import { consume } from '#nae/benchmark/measured-process.js';
import { median } from '#nae/benchmark/timing.js';
import { startLocalBroker } from '#nae/broker/local-broker.js';
import { silentLogger } from '#nae/telemetry/logger.js';

import { benchArguments, report } from './report.js';
import { distinctCodes, frames, shippedBundles } from './workload.js';

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
    const threshold = await (await bestBareRuntime(bundle, codes)).threshold();
    const model = { directory: bundle.directory, threshold };
    const measured = async (exactlyOnce: ConsumeJob['exactlyOnce']): Promise<ConsumeOutcome> => {
      const job = { connection: { brokers: broker.brokers }, topic: TOPIC, group: randomUUID(), model };
      const outcome = await consume(exactlyOnce === undefined ? job : { ...job, exactlyOnce });
      if (outcome.events !== events) throw new Error(`expected ${events} events, received ${outcome.events}`);
      return outcome;
    };
    const rounds: { base: ConsumeOutcome; exact: ConsumeOutcome }[] = [];
    for (let round = 0; round < repetitions; round++) {
      const base = await measured(undefined);
      const exact = await measured({ ledger: false });
      if (exact.accepted.join() !== base.accepted.join()) throw new Error(`${name}: other events were accepted`);
      rounds.push({ base, exact });
      console.error(
        `${name}, round ${round + 1}: ${(base.fromFirstFrame!.seconds / exact.fromFirstFrame!.seconds).toFixed(3)}`,
      );
    }
    const ratios = rounds.map(({ base, exact }) => base.fromFirstFrame!.seconds / exact.fromFirstFrame!.seconds);
    rows.push({
      size,
      bundle: name,
      ratio: median(ratios),
      lowest: Math.min(...ratios),
      highest: Math.max(...ratios),
      ratio_with_start: median(rounds.map(({ base, exact }) => base.seconds / exact.seconds)),
      cpu_ratio: median(rounds.map(({ base, exact }) => base.cpuSeconds / exact.cpuSeconds)),
      events_per_second: median(rounds.map(({ exact }) => events / exact.fromFirstFrame!.seconds)),
      at_least_once_events_per_second: median(rounds.map(({ base }) => events / base.fromFirstFrame!.seconds)),
    });
  }
  report('exactly-once', settings, rows);
} finally {
  await broker.stop();
}
