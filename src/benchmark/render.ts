/** The 40 MHz report as Markdown and its picture. */
import { CROSSING_RATE_HZ, CROSSINGS_PER_ORBIT, HW32_BYTES } from '../event/layout.js';
import type { KafkaResult, LatencyPoint, RecordingResult, ScalingPoint } from './measure.js';
import type { Roofline } from './roofline.js';

/** Crossings with collisions: 2544 bunches of an orbit are filled. */
const FILLED_RATE_HZ = (CROSSING_RATE_HZ * 2544) / CROSSINGS_PER_ORBIT;

export interface ModelReport {
  readonly size: 's' | 'm';
  readonly bundle: string;
  readonly flopPerEvent: number;
  readonly recording: RecordingResult;
  readonly scaling: readonly ScalingPoint[];
  readonly latency: { readonly sustained: number; readonly points: readonly LatencyPoint[] };
  readonly kafka: KafkaResult | undefined;
}

export interface BenchmarkReport {
  readonly machine: { readonly cpu: string; readonly cores: number; readonly loadAverage: number };
  readonly versions: Readonly<Record<string, string>>;
  readonly roofline: Roofline;
  readonly models: readonly ModelReport[];
  /** What was not measured, and why. */
  readonly skipped: readonly string[];
}

/** The best rate that the whole machine sustained from memory to decision. */
export function sustainedOf({ scaling }: ModelReport): number {
  return Math.max(...scaling.map(({ eventsPerSecond }) => eventsPerSecond));
}

export function markdown({ machine, versions, roofline, models, skipped }: BenchmarkReport): string {
  const perModel = (cells: (model: ModelReport) => readonly (string | number)[]): string =>
    models.map((model) => row([model.bundle, ...cells(model)])).join('\n');
  const lines = [
    '# How far from 40 MHz',
    '',
    `${machine.cores} cores of ${machine.cpu}; load average at the start ${machine.loadAverage.toFixed(1)}; ` +
      Object.entries(versions)
        .map(([name, version]) => `${name} ${version}`)
        .join(', ') +
      '. Ratios are medians of runs in turn (smallest to largest in brackets); a busy machine changes rates, not so much ratios.',
    '',
    '## Sustained rate, whole machine, frames in memory to decision',
    '',
    head(['model', 'events/s', `% of 40.08 MHz`, `% of 28.6 MHz (2544 bunches)`, 'machines for 40.08 MHz']),
    perModel((model) => {
      const rate = sustainedOf(model);
      return [
        count(rate),
        percent(rate / CROSSING_RATE_HZ),
        percent(rate / FILLED_RATE_HZ),
        `${count(CROSSING_RATE_HZ)} / ${count(rate)} = ${Math.ceil(CROSSING_RATE_HZ / rate)}`,
      ];
    }),
    '',
    '## Recording to decision, one worker, against bare onnxruntime',
    '',
    head(['model', 'events/s', 'bare, best batch', 'ratio', 'ratio per CPU-second', 'time per event [ns]']),
    perModel(({ recording }) => [
      count(recording.eventsPerSecond),
      `${count(recording.bareEventsPerSecond)} (${recording.bareBatch})`,
      range(recording.ratio),
      range(recording.ratioCpu),
      Object.entries(recording.stageNs)
        .map(([stage, ns]) => `${stage} ${ns.toFixed(0)}`)
        .join(', '),
    ]),
    '',
    '"all" is the CPU time of all threads; what the stages do not have of it is reading, decoding and copying.',
    '',
    '## Roofline of one core',
    '',
    `Matrix product ${(roofline.flopPerSecond / 1e9).toFixed(0)} GFLOP/s, copying ${(roofline.bytesPerSecond / 1e9).toFixed(1)} GB/s.`,
    '',
    head(['model', 'FLOP per event', 'bound by FLOP', 'bound by bytes', 'bare runtime reaches']),
    perModel(({ flopPerEvent, recording }) => [
      count(flopPerEvent),
      `${count(roofline.flopPerSecond / flopPerEvent)}/s`,
      `${count(roofline.bytesPerSecond / HW32_BYTES)}/s`,
      percent((recording.bareEventsPerSecond * flopPerEvent) / roofline.flopPerSecond),
    ]),
    '',
    '## Latency from a frame being due to its decision',
    '',
    'Open loop, frames of 512 events, memory to decision; a frame that the stream makes wait counts from when it was due.',
    '',
    head(['model', 'load', 'events/s', 'p50', 'p99', 'p99.9', 'p99.99']),
    models
      .flatMap(({ bundle, latency }) =>
        latency.points.map(({ load, eventsPerSecond, quantiles: { p50, p99, p999, p9999 } }) =>
          row([bundle, percent(load), count(eventsPerSecond), ...[p50, p99, p999, p9999].map(milliseconds)]),
        ),
      )
      .join('\n'),
    '',
    '![Latency over load](latency.svg)',
    '',
    '## Scaling with workers',
    '',
    head(['model', 'workers', 'events/s', 'events per CPU-second']),
    models
      .flatMap(({ bundle, scaling }) =>
        scaling.map(({ workers, eventsPerSecond, eventsPerCpuSecond }) =>
          row([bundle, workers, count(eventsPerSecond), count(eventsPerCpuSecond)]),
        ),
      )
      .join('\n'),
    ...kafkaSection(models),
    '',
    '## Not measured',
    '',
    ...skipped.map((what) => `- ${what}`),
  ];
  return `${lines.join('\n')}\n`;
}

function kafkaSection(models: readonly ModelReport[]): string[] {
  const measured = models.flatMap(({ bundle, kafka }) => (kafka === undefined ? [] : [{ bundle, kafka }]));
  if (measured.length === 0) return [];
  return [
    '',
    '## Kafka to Kafka',
    '',
    'CPU per event over that of bare kafkajs consumption of the same topic plus bare onnxruntime.',
    '',
    head([
      'model',
      'CPU ratio',
      'events/s',
      'events per CPU-second',
      'kafkajs alone',
      'largest RSS',
      'two processes',
      'exactly once over at least once',
      'over Python peer',
    ]),
    ...measured.map(({ bundle, kafka }) =>
      row([
        bundle,
        range(kafka.cpuRatio),
        count(kafka.eventsPerSecond),
        count(kafka.eventsPerCpuSecond),
        count(kafka.kafkajsEventsPerCpuSecond),
        `${(kafka.rssBytes / 1e6).toFixed(0)} MB`,
        `${count(kafka.processes.at(-1)!.eventsPerCpuSecond)} per CPU-second`,
        range(kafka.exactlyOnce),
        peerText(kafka),
      ]),
    ),
  ];
}

function peerText({ peer }: KafkaResult): string {
  if (peer === undefined) return 'not installed';
  const same = peer.sameAccepted ? 'same events accepted' : 'OTHER EVENTS ACCEPTED';
  return `${range(peer.ratio)} of ${count(peer.eventsPerCpuSecond)} per CPU-second, ${same}`;
}

const COLOURS = ['#1f77b4', '#d62728', '#2ca02c', '#9467bd'];

/** Latency over load: a line per model and quantile (p50 solid, p99 dashed), logarithmic in time. */
export function latencySvg(models: readonly ModelReport[]): string {
  const x = (load: number): number => 60 + load * 480;
  const y = (seconds: number): number => 300 - (Math.log10(Math.max(seconds, 1e-4)) + 4) * 65;
  const grid = [1e-4, 1e-3, 1e-2, 1e-1, 1].map(
    (seconds) =>
      `<line x1="60" x2="540" y1="${y(seconds)}" y2="${y(seconds)}" stroke="#ddd"/>` +
      `<text x="54" y="${y(seconds) + 4}" text-anchor="end">${milliseconds(seconds)}</text>`,
  );
  const axis = [0.25, 0.5, 0.75, 0.9].map(
    (load) => `<text x="${x(load)}" y="320" text-anchor="middle">${percent(load)}</text>`,
  );
  const lines = models.flatMap(({ bundle, latency }, at) =>
    (['p50', 'p99'] as const).map((quantile, which) => {
      const points = latency.points.map(({ load, quantiles }) => `${x(load)},${y(quantiles[quantile]).toFixed(1)}`);
      const style = `fill="none" stroke="${COLOURS[at % COLOURS.length]!}" stroke-width="2"`;
      const label = `<text x="70" y="${34 + 16 * (2 * at + which)}" fill="${COLOURS[at % COLOURS.length]!}">${bundle} ${quantile}</text>`;
      return `<polyline points="${points.join(' ')}" ${style}${which === 1 ? ' stroke-dasharray="5 3"' : ''}/>${label}`;
    }),
  );
  return (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 560 345" font-family="sans-serif" font-size="12">' +
    `<rect width="560" height="345" fill="white"/>${[...grid, ...axis, ...lines].join('')}` +
    '<text x="300" y="338" text-anchor="middle">load, of the sustained rate</text></svg>\n'
  );
}

function row(cells: readonly (string | number)[]): string {
  return `| ${cells.join(' | ')} |`;
}

function head(cells: readonly string[]): string {
  return `${row(cells)}\n${row(cells.map((_, at) => (at === 0 ? '---' : '---:')))}`;
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

function percent(fraction: number): string {
  return `${(fraction * 100).toPrecision(3)} %`;
}

function milliseconds(seconds: number): string {
  return `${(seconds * 1000).toPrecision(3)} ms`;
}

function range({ median, low, high }: { median: number; low: number; high: number }): string {
  return `${median.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
}
