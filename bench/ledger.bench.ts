/**
 * What the ledger costs: `nae-trigger run` with and without it, in turn, recording to recording and Kafka to Kafka
 * (exactly once), small and medium bundle. Every run is a process of its own.
 *
 *   npm run bench:ledger -- [--events N] [--pairs N] [--partitions N] [--json FILE]
 *
 * `cpu_cost` is the part of the CPU time per event that the ledger takes, `time_cost` the same of the wall-clock time,
 * each the median over the pairs with its smallest and largest; both are of the run's own summary, without the start.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { fillTopic } from '#nae/benchmark/fill-topic.js';
import { bestBareRuntime } from '#nae/benchmark/bare-runtime.js';
import { median } from '#nae/benchmark/timing.js';
import { startLocalBroker } from '#nae/broker/local-broker.js';
import type { StreamSummary } from '#nae/pipeline/stream-totals.js';
import { createRecording } from '#nae/recording/open.js';
import { silentLogger } from '#nae/telemetry/logger.js';

import { benchArguments, report } from './report.js';
import { distinctCodes, frames, shippedBundles } from './workload.js';

const TOPIC = 'l1.frames';
const MAIN = fileURLToPath(import.meta.resolve('#nae/cli/main.js'));
const settings = benchArguments({ events: 1 << 21, pairs: 5, partitions: 4 });
const { events, pairs, partitions } = settings.numbers;
const log = silentLogger();
const codes = distinctCodes();
const folder = mkdtempSync(join(tmpdir(), 'nae-trigger-bench-'));

async function run(...args: string[]): Promise<StreamSummary> {
  const json = join(folder, 'summary.json');
  await promisify(execFile)(process.execPath, [MAIN, 'run', ...args, '--device', 'cpu', '--json', json]);
  const summary = JSON.parse(readFileSync(json, 'utf8')) as StreamSummary;
  if (summary.events.received < events)
    throw new Error(`expected ${events} events, received ${summary.events.received}`);
  return summary;
}

const recording = join(folder, 'events.l1f');
const writer = await createRecording(recording, { header: { labelNames: new Map(), provenance: new Map() } });
for (const frame of frames(codes, events)) await writer.write(frame);
await writer.close();
const broker = await startLocalBroker({ log, topics: [{ name: TOPIC, partitions }] });
try {
  await fillTopic(broker, TOPIC, frames(codes, events));
  const brokers = broker.brokers.join(',');
  const streams: Record<string, () => string[]> = {
    'recording to recording': () => ['--source', recording, '--sink', join(folder, 'out.l1f'), '--overwrite'],
    'Kafka to Kafka': () => [
      ...['--source', `kafka:${TOPIC}`, '--sink', 'kafka:l1.accepted', '--brokers', brokers],
      ...['--group', randomUUID(), '--stop-at-end'],
    ],
  };
  const rows: Record<string, string | number>[] = [];
  // The medium bundle first: it is what the ledger's bound is stated for.
  for (const { size, bundle } of (await shippedBundles()).reverse()) {
    const threshold = String(await (await bestBareRuntime(bundle, codes)).threshold());
    for (const [stream, endpoints] of Object.entries(streams)) {
      const measured = (ledger: string): Promise<StreamSummary> =>
        run(...endpoints(), '--model', bundle.directory, '--threshold', threshold, '--ledger', ledger);
      const rounds: { on: StreamSummary; off: StreamSummary }[] = [];
      for (let pair = 0; pair < pairs; pair++) {
        // In turn also which of the two comes first.
        const first = await measured(pair % 2 === 0 ? 'none' : 'l1.ledger');
        const second = await measured(pair % 2 === 0 ? 'l1.ledger' : 'none');
        rounds.push(pair % 2 === 0 ? { off: first, on: second } : { off: second, on: first });
      }
      const cpu = rounds.map(({ on, off }) => 1 - off.cpu_seconds / on.cpu_seconds);
      const time = rounds.map(({ on, off }) => 1 - on.events_per_second / off.events_per_second);
      const row = {
        size,
        stream,
        cpu_cost: median(cpu),
        cpu_cost_low: Math.min(...cpu),
        cpu_cost_high: Math.max(...cpu),
        time_cost: median(time),
        time_cost_low: Math.min(...time),
        time_cost_high: Math.max(...time),
        events_per_second: median(rounds.map(({ on }) => on.events_per_second)),
        accepted: median(rounds.map(({ on }) => on.events.accepted)),
      };
      console.error(JSON.stringify(row));
      rows.push(row);
    }
  }
  report('ledger', settings, rows);
} finally {
  await broker.stop();
  rmSync(folder, { recursive: true, force: true });
}
