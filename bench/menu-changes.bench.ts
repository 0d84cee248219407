/**
 * Menu changes → memory: a stream at full speed that takes one menu after the other, the small and the medium model in
 * turn, each scored beside the running one first. Prints the resident memory after every change.
 *
 *   npm run bench:menus -- [--changes N] [--workers N] [--shadow N] [--warm-up-s N] [--json FILE]
 *
 * Growth is stated twice: against the memory before the first change, after the stream has run for a while, and
 * against that after the fifth change. By then both models have been loaded, and the threads of two menus have been
 * there at once, which no stream without changes needs.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { encodeFrame } from '#nae/event/frame.js';
import { MenuReloads } from '#nae/cli/menu-reloads.js';
import { openPool, openPoolBeside } from '#nae/cli/models.js';
import { loadBundle } from '#nae/model/bundle.js';
import { Pipeline } from '#nae/pipeline/pipeline.js';
import type { Path } from '#nae/score/menu.js';
import type { Sink } from '#nae/sink/sink.js';
import type { Intake, Source, SourceRecord } from '#nae/source/source.js';
import { Happenings } from '#nae/telemetry/happenings.js';
import { silentLogger } from '#nae/telemetry/logger.js';
import { Metrics } from '#nae/telemetry/metrics.js';

import { benchArguments, report } from './report.js';
import { distinctCodes, FRAME_EVENTS, frames, shippedBundles } from './workload.js';

const BASELINE_CHANGE = 5;
/** Of what these events score: few are accepted. */
const HIGH = 1e3;

const settings = benchArguments({ changes: 50, workers: 1, shadow: 50_000, 'warm-up-s': 30 });
const { changes, workers, shadow } = settings.numbers;
const SCORING = {
  workers,
  maxWorkerReplacements: 0,
  device: 'cpu',
  quantise: 'hw32',
  batchEvents: 8192,
  inferenceRows: 1024,
} as const;

const encoded = [...frames(distinctCodes(), 8 * FRAME_EVENTS)].map(encodeFrame);

/** The same frames again and again. */
const source: Source = {
  name: 'endless',
  run: async (intake: Intake, stop: AbortSignal): Promise<void> => {
    for (let number = 0; !stop.aborted; number++) {
      const record: SourceRecord = {
        position: { source: 'endless', partition: 0, offset: BigInt(number) },
        bytes: encoded[number % encoded.length]!,
        availableUnixMs: undefined,
      };
      await intake.offer(record);
      // Sources wait for the disk or the network now and then.
      if (number % 16 === 0) await delay(0);
    }
  },
  finished: () => undefined,
  close: () => Promise.resolve(),
};
const sink: Sink = { name: 'nowhere', write: () => Promise.resolve(), close: () => Promise.resolve() };

/** Memory of the process [MiB]: resident, JavaScript heap of the main thread, bytes that objects of it own. */
function memory(): { rss_mib: number; heap_mib: number; external_mib: number } {
  const { rss, heapTotal, external } = process.memoryUsage();
  const mib = (bytes: number): number => Math.round((bytes / 2 ** 20) * 10) / 10;
  return { rss_mib: mib(rss), heap_mib: mib(heapTotal), external_mib: mib(external) };
}
const folders = (await shippedBundles()).map(({ bundle }) => bundle.directory);
/** Read anew for every change, as a reload does; every menu has a threshold of its own. */
const pathsOf = async (number: number): Promise<Path[]> => {
  const bundle = await loadBundle(folders[number % folders.length]!);
  return [{ name: 'path', bundle, threshold: Math.fround(HIGH + number) }];
};

const happenings = new Happenings(silentLogger(), new Metrics({ processMetrics: true }));
const pool = await openPool(await pathsOf(0), SCORING, happenings);
const pipeline = new Pipeline(source, pool, sink, happenings, {
  limits: { maxFrameBytes: 16 * 1024 * 1024 },
  maxInFlightBytes: 64 * 1024 * 1024,
  maxBatchDelayMs: 1,
});
let next = 0;
const reloads = new MenuReloads(pipeline, pool, happenings, {
  configured: () => {
    throw new Error('changes are asked for by the benchmark');
  },
  open: async (_request, running) => openPoolBeside(running, await pathsOf(next), SCORING, happenings),
});

const stop = new AbortController();
const running = pipeline.run(stop.signal);
await delay(1000 * settings.numbers['warm-up-s']);
const held = [memory()];
const began = performance.now();
while (next < changes) {
  next++;
  reloads.request({
    model: undefined,
    targetRate: undefined,
    threshold: undefined,
    cascade: undefined,
    swapAt: 'next-frame',
    shadowEvents: shadow,
    shadowBand: 'none',
  });
  while (reloads.status.change !== null) await delay(20);
  const { last } = reloads.status;
  if (last?.outcome !== 'taken') throw new Error(`change ${next}: ${JSON.stringify(last)}`);
  await delay(200);
  held.push(memory());
}
const seconds = (performance.now() - began) / 1000;
stop.abort();
await running;
await reloads.close();

const growth = (from: number): string => `${((held.at(-1)!.rss_mib / held[from]!.rss_mib - 1) * 100).toFixed(1)} %`;
report(
  'menu changes → memory',
  settings,
  held.map((memory, change) => ({ change, ...memory })),
);
console.log(
  `${pipeline.totals.events.received} events in ${seconds.toFixed(0)} s; growth ${growth(0)} from the start, ` +
    `${growth(Math.min(BASELINE_CHANGE, changes))} from change ${BASELINE_CHANGE}`,
);
