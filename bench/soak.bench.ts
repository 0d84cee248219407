/**
 * A soak: `nae-trigger run` from Kafka to Kafka, exactly once with its ledger, as fast as it goes, for a bounded time.
 * Starts its own broker and loops the shipped recording into it, never further ahead than a backlog. What grows with
 * time is told by straight lines through what the process says of itself.
 *
 *   npm run bench:soak -- [--minutes N] [--backlog FRAMES] [--json FILE]
 *
 * Writes all samples and fits to FILE (default: soak-report/soak.json) and a report beside it (`.md`). A quantity
 * grows, and the exit code is 1, where the 95 % interval of its growth over the measured time lies above 2 % of its mean.
 * The first fifth, two minutes at most, is warming up and not fitted.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { startLocalBroker } from '#nae/broker/local-broker.js';
import { decodeFrame, encodeFrame, isFrameFault, type L1Frame } from '#nae/event/frame.js';
import { LUMINOSITY_SECTION_ORBIT_BITS } from '#nae/event/layout.js';
import { openRecording } from '#nae/recording/open.js';
import { FrameProducer } from '#nae/replay/frame-producer.js';
import { unixNs } from '#nae/telemetry/clock.js';
import { silentLogger } from '#nae/telemetry/logger.js';

import { benchArguments } from './report.js';
import { fitLine } from './straight-line.js';

const TOPIC = 'l1.frames';
const RECORDING = new URL('../../models/recordings/sample.l1f.zst', import.meta.url).pathname;
const settings = benchArguments({ minutes: 10, backlog: 384, partitions: 4 });
const { minutes, backlog, partitions } = settings.numbers;
const file = settings.json ?? 'soak-report/soak.json';
const log = silentLogger();
const SAMPLE_MS = 1000;
/** Growth over the measured time that is none [part of the mean]. */
const ALLOWED_GROWTH = 0.02;

/** What is sampled, and whether it is bad for it to rise or to fall. */
const QUANTITIES = {
  rss: { title: 'resident memory', unit: 'MiB', scale: 2 ** 20, bad: 'rise' },
  heap: { title: 'heap in use, main thread', unit: 'MiB', scale: 2 ** 20, bad: 'rise' },
  external: { title: 'external memory', unit: 'MiB', scale: 2 ** 20, bad: 'rise' },
  resources: { title: 'active resources', unit: '', scale: 1, bad: 'rise' },
  files: { title: 'open file descriptors', unit: '', scale: 1, bad: 'rise' },
  loopP50: { title: 'event-loop delay, median', unit: 'ms', scale: 1e-3, bad: 'rise' },
  loopP99: { title: 'event-loop delay, p99', unit: 'ms', scale: 1e-3, bad: 'rise' },
  lag: { title: 'lag', unit: 'frames', scale: 1, bad: 'rise' },
  inFlight: { title: 'events in flight', unit: '', scale: 1, bad: 'rise' },
  eventsPerSecond: { title: 'events per second', unit: '', scale: 1, bad: 'fall' },
} as const;
type Quantity = keyof typeof QUANTITIES;
type Sample = Readonly<Record<Quantity | 'seconds' | 'frames' | 'events' | 'accepted', number>> & {
  /** Active resources by kind, as process.getActiveResourcesInfo counts them. */
  readonly kinds: Readonly<Record<string, number>>;
};

/** Values of a page of metrics by name, summed over their labels. */
function totalsOf(page: string): { sum: Map<string, number>; kinds: Record<string, number> } {
  const sum = new Map<string, number>();
  const kinds: Record<string, number> = {};
  for (const line of page.split('\n')) {
    const [, name, labels, value] = /^([a-z_0-9]+)(\{.*\})? (\S+)$/.exec(line) ?? [];
    if (name === undefined) continue;
    sum.set(name, (sum.get(name) ?? 0) + Number(value));
    const kind = /type="([^"]+)"/.exec(labels ?? '')?.[1];
    if (name === 'nodejs_active_resources' && kind !== undefined) kinds[kind] = Number(value);
  }
  return { sum, kinds };
}

async function sample(url: string, before: Sample | undefined, start: number): Promise<Sample> {
  const { sum, kinds } = totalsOf(await (await fetch(url)).text());
  const seconds = (performance.now() - start) / 1000;
  const value = (name: string): number => sum.get(name) ?? 0;
  const events = value('trigger_events_received_total');
  return {
    seconds,
    frames: value('trigger_frames_received_total'),
    events,
    accepted: value('trigger_events_accepted_total'),
    rss: value('process_resident_memory_bytes'),
    heap: value('nodejs_heap_size_used_bytes'),
    external: value('nodejs_external_memory_bytes'),
    resources: value('nodejs_active_resources_total'),
    files: value('process_open_fds'),
    loopP50: value('nodejs_eventloop_lag_p50_seconds'),
    loopP99: value('nodejs_eventloop_lag_p99_seconds'),
    lag: value('trigger_consumer_lag_frames'),
    inFlight: value('trigger_events_in_flight'),
    eventsPerSecond: before === undefined ? 0 : (events - before.events) / (seconds - before.seconds),
    kinds,
  };
}

async function framesOfRecording(): Promise<L1Frame[]> {
  const reader = await openRecording(RECORDING);
  const frames: L1Frame[] = [];
  for await (const { bytes } of reader.frames()) {
    const frame = decodeFrame(bytes.slice());
    if (!isFrameFault(frame)) frames.push(frame);
  }
  await reader.close();
  return frames;
}

/** Send the recording over and over, orbits counted on, but never more than the backlog ahead. */
async function feed(producer: FrameProducer, state: { received: number }, stop: AbortSignal): Promise<void> {
  const frames = await framesOfRecording();
  const orbits = Math.max(...frames.map(({ orbit }) => orbit)) + 2;
  const isStopped = (): boolean => stop.aborted;
  for (let sent = 0; !isStopped(); sent++) {
    const frame = frames[sent % frames.length]!;
    const orbit = frame.orbit + orbits * Math.floor(sent / frames.length);
    const luminositySection = orbit >>> LUMINOSITY_SECTION_ORBIT_BITS;
    const bytes = encodeFrame({ ...frame, orbit, luminositySection, createdUnixNs: unixNs() });
    await producer.send({ run: frame.run, orbit, bytes });
    if (sent - state.received > backlog) await producer.flush();
    while (sent - state.received > backlog && !isStopped()) await sleep(20);
  }
  await producer.flush();
}

const broker = await startLocalBroker({
  log,
  topics: [{ name: TOPIC, partitions }],
  properties: {
    'log.segment.bytes': String(64 * 2 ** 20),
    'log.retention.bytes': String(192 * 2 ** 20),
    'log.retention.check.interval.ms': '5000',
  },
});
const samples: Sample[] = [];
const stop = new AbortController();
const emulator = spawn(
  process.execPath,
  [
    fileURLToPath(import.meta.resolve('#nae/cli/main.js')),
    ...['run', '--source', `kafka:${TOPIC}`, '--sink', 'kafka:l1.accepted', '--brokers', broker.brokers.join(',')],
    ...['--model', 'nae-events-m', '--target-rate', '1e-3', '--device', 'cpu'],
  ],
  { stdio: ['ignore', 'ignore', 'pipe'] },
);
const ended = once(emulator, 'exit');
let said = '';
emulator.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-20_000)));

/** The page of metrics that the emulator has named in its log. */
async function metricsUrl(): Promise<string> {
  for (;;) {
    const url = /"metrics":"([^"]+)"/.exec(said)?.[1];
    if (url !== undefined) return url;
    if (emulator.exitCode !== null) throw new Error(`the emulator has ended:\n${said}`);
    await sleep(50);
  }
}

try {
  const url = await metricsUrl();
  const producer = await FrameProducer.open({ connection: broker, topic: TOPIC, log });
  const state = { received: 0 };
  const feeding = feed(producer, state, stop.signal);
  // Awaited below.
  feeding.catch(() => undefined);
  const start = performance.now();
  for (let at = start; at - start < minutes * 60_000; at += SAMPLE_MS) {
    await sleep(Math.max(0, at - performance.now()));
    if (emulator.exitCode !== null) throw new Error(`the emulator has ended:\n${said}`);
    const taken = await sample(url, samples.at(-1), start);
    samples.push(taken);
    state.received = taken.frames;
  }
  stop.abort();
  await feeding;
  await producer.close();
} finally {
  stop.abort();
  emulator.kill('SIGTERM');
  await ended;
  await broker.stop();
}

const last = samples.at(-1)!;
const warmUp = Math.min(120, last.seconds / 5);
const fitted = samples.filter(({ seconds }) => seconds >= warmUp);
const seconds = last.seconds - fitted[0]!.seconds;
const rows = Object.entries(QUANTITIES).map(([name, { title, unit, scale, bad }]) => {
  const values = fitted.map((one) => one[name as Quantity] / scale);
  const line = fitLine(
    fitted.map((one) => one.seconds),
    values,
  );
  const growth = line.slope * seconds;
  const surely = bad === 'rise' ? growth - line.error * seconds : -growth - line.error * seconds;
  return {
    title: unit === '' ? title : `${title} [${unit}]`,
    ...line,
    growth,
    error: line.error * seconds,
    smallest: Math.min(...values),
    largest: Math.max(...values),
    verdict: surely > ALLOWED_GROWTH * line.mean ? (bad === 'rise' ? 'grows' : 'falls') : 'flat',
  };
});
const isFlat = rows.every(({ verdict }) => verdict === 'flat');

const shown = (value: number): string =>
  Math.abs(value) >= 1000 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3);
const kinds = (of: Sample): string =>
  Object.entries(of.kinds)
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([kind, count]) => `${kind} ${count}`)
    .join(', ');
const text = `# Soak

${new Date().toISOString()}, ${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), Node.js ${process.versions.node}.
${shown(last.events)} events in ${shown(last.seconds / 60)} minutes, ${shown(last.events / last.seconds)} per second,
${shown(last.accepted)} accepted. Fitted: the last ${shown(seconds)} s, ${fitted.length} samples.

| quantity | mean | smallest to largest | change over the fitted time (95 %) | verdict |
| --- | --- | --- | --- | --- |
${rows
  .map(
    ({ title, mean, smallest, largest, growth, error, verdict }) =>
      `| ${title} | ${shown(mean)} | ${shown(smallest)} to ${shown(largest)} | ${shown(growth)} ± ${shown(error)} | ${verdict} |`,
  )
  .join('\n')}

Active resources at the first fitted sample: ${kinds(fitted[0]!)}. At the last: ${kinds(last)}.

**${isFlat ? 'Flat.' : 'Not flat.'}**
`;
mkdirSync(dirname(file), { recursive: true });
writeFileSync(file, `${JSON.stringify({ settings: settings.numbers, seconds, rows, samples }, undefined, 1)}\n`);
writeFileSync(file.replace(/(\.json)?$/, '.md'), text);
console.log(text);
process.exitCode = isFlat ? 0 : 1;
