/** The 40 MHz report as a document: what was measured, and what follows from it with the arithmetic shown. */
import { CROSSING_RATE_HZ, CROSSINGS_PER_ORBIT, HW32_BYTES } from '../event/layout.js';
import { bars, lines, type Series } from './charts.js';
import type { KafkaResult, LiveResult } from './measure-kafka.js';
import type { LatencyResult, RecordingResult, ScalingPoint } from './measure-streams.js';
import {
  type Block,
  type ReportDocument,
  count,
  heading,
  millions,
  milliseconds,
  nanoseconds,
  percent,
  quantileCells,
  range,
  stageTable,
  text,
} from './report-blocks.js';
import type { Roofline } from './roofline.js';

/** Crossings with collisions: 2544 bunches of an orbit are filled. */
const FILLED_BUNCHES = 2544;
const FILLED_RATE_HZ = (CROSSING_RATE_HZ * FILLED_BUNCHES) / CROSSINGS_PER_ORBIT;
/** Objects and bunch crossing of an HW32 event in a frame. */
const WIRE_BYTES = HW32_BYTES + 2;
/** The part of a core that a plan counts on. */
const PLANNED_PART = 0.7;

export interface ModelReport {
  readonly size: 's' | 'm';
  readonly bundle: string;
  readonly flopPerEvent: number;
  readonly recording: RecordingResult;
  readonly scaling: readonly ScalingPoint[];
  readonly latency: LatencyResult;
  readonly kafka: (KafkaResult & { readonly live: readonly LiveResult[] }) | undefined;
}

export interface BenchmarkReport {
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryBytes: number;
    /** At the start. */
    readonly loadAverage: number;
  };
  readonly date: string;
  /** One short run of everything. */
  readonly quick: boolean;
  /** What it took. */
  readonly seconds: number;
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

export function documentOf(report: BenchmarkReport): ReportDocument {
  const { models } = report;
  const kafkas = models.flatMap(({ bundle, kafka }) => (kafka === undefined ? [] : [{ bundle, ...kafka }]));
  return {
    title: 'How far from 40 MHz',
    blocks: [
      text(conditions(report)),
      ...sustainedBlocks(models),
      ...planBlocks(models),
      ...recordingBlocks(models),
      ...rooflineBlocks(report),
      ...latencyBlocks(models),
      ...scalingBlocks(models, kafkas),
      ...kafkaBlocks(kafkas),
      heading('Not measured'),
      { kind: 'list', items: report.skipped },
    ],
  };
}

type NamedKafka = NonNullable<ModelReport['kafka']> & { readonly bundle: string };

function conditions({ machine, versions, date, seconds, quick }: BenchmarkReport): string {
  const of = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const busy = machine.loadAverage > machine.cores / 4 ? ' **Something else was running: rates are too low.**' : '';
  const short = quick ? '**A quick run: it shows that everything works, no figure of it is to be quoted.** ' : '';
  return (
    `${short}${machine.cores} cores of ${machine.cpu}, ${(machine.memoryBytes / 2 ** 30).toFixed(0)} GiB; load average ` +
    `${machine.loadAverage.toFixed(1)} at the start.${busy} ${of.join(', ')}. ${date}, ${seconds.toFixed(0)} s. ` +
    'HW32 frames of 4096 events unless said. Ratios are medians of runs in turn, smallest to largest in brackets.'
  );
}

function sustainedBlocks(models: readonly ModelReport[]): Block[] {
  const figure = bars({
    title: 'Events per second, logarithmic',
    unit: (value) => millions(value),
    logarithmic: true,
    groups: models.map((model) => ({
      label: model.bundle,
      bars: [
        { label: 'memory to decision', value: sustainedOf(model) },
        ...(model.kafka === undefined ? [] : [{ label: 'Kafka to Kafka', value: model.kafka.eventsPerSecond }]),
      ],
    })),
    marks: [
      { label: '28.6 MHz', value: FILLED_RATE_HZ },
      { label: '40.08 MHz', value: CROSSING_RATE_HZ },
    ],
  });
  const rows = models.flatMap((model) => {
    const rates: [string, number | undefined][] = [
      ['memory to decision', sustainedOf(model)],
      ['Kafka to Kafka', model.kafka?.eventsPerSecond],
    ];
    return rates.flatMap(([path, rate]) =>
      rate === undefined
        ? []
        : [
            [
              model.bundle,
              path,
              count(rate),
              percent(rate / CROSSING_RATE_HZ),
              percent(rate / FILLED_RATE_HZ),
              machines(CROSSING_RATE_HZ, rate),
              machines(FILLED_RATE_HZ, rate),
            ],
          ],
    );
  });
  return [
    heading('Sustained rate of the whole machine'),
    text(
      'Memory to decision: frames that lie ready, one worker per core. Kafka to Kafka: at least once, broker on the same machine ' +
        'where it was started for this. 28.6 MHz is 40.08 MHz times 2544 / 3564, the crossings with collisions.',
    ),
    {
      kind: 'table',
      head: ['model', 'path', 'events/s', '% of 40.08 MHz', '% of 28.6 MHz', 'machines for 40.08 MHz', 'for 28.6 MHz'],
      rows,
    },
    { kind: 'figure', file: 'rate.svg', caption: 'Sustained rate against the rates of the LHC', svg: figure },
  ];
}

function planBlocks(models: readonly ModelReport[]): Block[] {
  const items = models.flatMap(({ bundle, kafka }) => {
    if (kafka === undefined) return [];
    // Two processes share a broker's partitions as they would in a cluster.
    const rate = (kafka.processes[1] ?? kafka.processes[0]!).warmEventsPerCpuSecond;
    const cores = (total: number): string =>
      `${millions(total)} / ${millions(rate)} per CPU-second / ${PLANNED_PART} = ${Math.ceil(total / rate / PLANNED_PART)} cores`;
    return [`${bundle}: ${cores(CROSSING_RATE_HZ)}; at 28.6 MHz ${cores(FILLED_RATE_HZ)}.`];
  });
  if (items.length === 0) return [];
  const bytes = CROSSING_RATE_HZ * WIRE_BYTES;
  return [
    heading('What 40 MHz takes'),
    text(
      `From the events per CPU-second of two processes in one group, Kafka to Kafka and warm, with ${PLANNED_PART} as the part of a core to plan with:`,
    ),
    {
      kind: 'list',
      items: [
        ...items,
        `Network: 40.08 MHz x ${WIRE_BYTES} B = ${(bytes / 1e9).toFixed(2)} GB/s (${((bytes * 8) / 1e9).toFixed(0)} Gbit/s) into the brokers and out again, times the replicas between them.`,
        'GPUs: none was measured, so no number is given.',
      ],
    },
  ];
}

function recordingBlocks(models: readonly ModelReport[]): Block[] {
  const stages = (stageNs: RecordingResult['stageNs']): { label: string; value: number }[] => {
    const { all = 0, ...parts } = stageNs;
    const rest = Math.max(0, all - Object.values(parts).reduce((sum, ns) => sum + ns, 0));
    return [...Object.entries(parts), ['reading, decoding, copying', rest] satisfies [string, number]].map(
      ([label, value]) => ({
        label,
        value,
      }),
    );
  };
  return [
    heading('Recording to decision, one worker, against bare onnxruntime'),
    {
      kind: 'table',
      head: ['model', 'events/s', 'bare onnxruntime (best batch)', 'ratio', 'ratio per CPU-second'],
      rows: models.map(({ bundle, recording }) => [
        bundle,
        count(recording.eventsPerSecond),
        `${count(recording.bareEventsPerSecond)} (${recording.bareBatch})`,
        range(recording.ratio),
        range(recording.ratioCpu),
      ]),
    },
    {
      kind: 'table',
      head: ['time per event [ns]', ...models.map(({ bundle }) => bundle)],
      rows: Object.keys(models[0]!.recording.stageNs)
        .filter((stage) => stage !== 'all')
        .map((stage) => [stage, ...models.map(({ recording }) => nanoseconds(recording.stageNs[stage]))])
        .concat([
          [
            'reading, decoding, copying, collecting',
            ...models.map(({ recording }) => nanoseconds(stages(recording.stageNs).at(-1)!.value)),
          ],
          ['CPU time of all threads', ...models.map(({ recording }) => nanoseconds(recording.stageNs.all))],
        ]),
    },
    {
      kind: 'figure',
      file: 'stages.svg',
      caption: 'Time of an event by stage',
      svg: bars({
        title: 'ns per event',
        unit: (value) => `${value.toFixed(0)} ns`,
        logarithmic: false,
        groups: models.map(({ bundle, recording }) => ({ label: bundle, bars: stages(recording.stageNs) })),
        marks: [],
      }),
    },
  ];
}

function rooflineBlocks({ roofline, models }: BenchmarkReport): Block[] {
  const { flopPerSecond, bytesPerSecond } = roofline;
  return [
    heading('Roofline of one core'),
    text(
      `Measured limits: ${(flopPerSecond / 1e9).toFixed(0)} GFLOP/s in a float32 matrix product of 512 x 512, ` +
        `${(bytesPerSecond / 1e9).toFixed(1)} GB/s copied from memory to memory. An event brings ${WIRE_BYTES} bytes, so every model of ` +
        `more than ${((flopPerSecond * WIRE_BYTES) / bytesPerSecond).toFixed(0)} FLOP per event is bound by arithmetic.`,
    ),
    {
      kind: 'table',
      head: [
        ...['model', 'FLOP/event', 'FLOP/byte', 'bound by FLOP', 'bound by bytes'],
        ...['bare onnxruntime reaches', 'the stream reaches'],
      ],
      rows: models.map(({ bundle, flopPerEvent, recording }) => [
        bundle,
        count(flopPerEvent),
        (flopPerEvent / WIRE_BYTES).toFixed(0),
        `${count(flopPerSecond / flopPerEvent)}/s`,
        `${count(bytesPerSecond / WIRE_BYTES)}/s`,
        percent((recording.bareEventsPerSecond * flopPerEvent) / flopPerSecond),
        percent((recording.eventsPerSecond * flopPerEvent) / flopPerSecond),
      ]),
    },
  ];
}

function latencyBlocks(models: readonly ModelReport[]): Block[] {
  const series = models.flatMap(({ bundle, latency }, colour) =>
    (['p50', 'p99', 'p999'] as const).map((quantile, style): Series => ({
      label: `${bundle} ${QUANTILE_NAMES[quantile]}`,
      colour,
      style,
      points: latency.points.map(({ load, quantiles }) => ({ x: load, y: quantiles[quantile] })),
    })),
  );
  return [
    heading('Latency from a frame being due to its decision'),
    text(
      `Open loop: frames of ${models[0]!.latency.frameEvents} events of a recording become due at a fixed pace whatever the stream does, and one that has to wait counts ` +
        'from when it was due, so no omission is coordinated. Load is the fraction of the rate sustained with the same frames.',
    ),
    {
      kind: 'table',
      head: ['model', 'load', 'events/s', 'p50', 'p99', 'p99.9', 'p99.99', 'frames'],
      rows: models.flatMap(({ bundle, latency }) =>
        latency.points.map(({ load, eventsPerSecond, quantiles }) => [
          ...[bundle, percent(load), count(eventsPerSecond)],
          ...quantileCells(quantiles),
          count(quantiles.count),
        ]),
      ),
    },
    {
      kind: 'figure',
      file: 'latency.svg',
      caption: 'Latency over load',
      svg: lines({ x: 'load, of the sustained rate', unit: milliseconds, tick: percent, series }),
    },
    text(`Where it goes at ${percent(models[0]!.latency.points[0]!.load)} load, p50 / p99 of each part:`),
    stageTable(models.map(({ bundle, latency }) => ({ label: bundle, stages: latency.points[0]!.stages }))),
  ];
}

function scalingBlocks(models: readonly ModelReport[], kafkas: readonly NamedKafka[]): Block[] {
  const perWorker = ({ scaling }: ModelReport, { workers, eventsPerSecond }: ScalingPoint): string =>
    percent(eventsPerSecond / workers / scaling[0]!.eventsPerSecond);
  const blocks: Block[] = [
    heading('Scaling with workers, memory to decision'),
    {
      kind: 'table',
      head: ['model', 'workers', 'events/s', 'of linear', 'events per CPU-second'],
      rows: models.flatMap((model) =>
        model.scaling.map((point) => [
          model.bundle,
          String(point.workers),
          count(point.eventsPerSecond),
          perWorker(model, point),
          count(point.eventsPerCpuSecond),
        ]),
      ),
    },
  ];
  if (kafkas.length === 0) return blocks;
  return [
    ...blocks,
    heading('Scaling with processes, Kafka to Kafka'),
    text(
      'Processes of one worker each in one consumer group. Every process compiles its JavaScript once (0.1 to 0.3 s of CPU), which a stream of days does not notice: "warm" is ' +
        'the second half of the events of each. More processes than cores can be no faster, but show what each costs.',
    ),
    {
      kind: 'table',
      head: ['model', 'processes', 'events/s', 'events per CPU-second', 'warm', 'warm, of one process'],
      rows: kafkas.flatMap(({ bundle, processes }) =>
        processes.map((point) => [
          bundle,
          String(point.processes),
          count(point.eventsPerSecond),
          count(point.eventsPerCpuSecond),
          count(point.warmEventsPerCpuSecond),
          percent(point.warmEventsPerCpuSecond / processes[0]!.warmEventsPerCpuSecond),
        ]),
      ),
    },
  ];
}

function kafkaBlocks(kafkas: readonly NamedKafka[]): Block[] {
  if (kafkas.length === 0) return [];
  return [
    heading('Kafka to Kafka'),
    text(
      'CPU per event over that of bare kafkajs consumption of the same topic plus bare onnxruntime; events per second exactly once over at least once, ' +
        'from the first frame on; events per CPU-second over those of the same job in Python (confluent-kafka, numpy, onnxruntime).',
    ),
    {
      kind: 'table',
      head: ['', ...kafkas.map(({ bundle }) => bundle)],
      rows: [
        ['CPU ratio', ...kafkas.map(({ cpuRatio }) => range(cpuRatio))],
        ['events/s', ...kafkas.map(({ eventsPerSecond }) => count(eventsPerSecond))],
        ['events per CPU-second', ...kafkas.map(({ eventsPerCpuSecond }) => count(eventsPerCpuSecond))],
        ['kafkajs alone', ...kafkas.map((one) => count(one.kafkajsEventsPerCpuSecond))],
        ['exactly once over at least once', ...kafkas.map(({ exactlyOnce }) => range(exactlyOnce))],
        [
          'over the Python peer',
          ...kafkas.map(({ peer }) => (peer === undefined ? 'not measured' : range(peer.ratio))),
        ],
        [
          'Python peer',
          ...kafkas.map(({ peer }) => (peer === undefined ? 'not measured' : count(peer.eventsPerCpuSecond))),
        ],
        ['same events accepted', ...kafkas.map(({ peer }) => sameText(peer))],
        ['largest RSS', ...kafkas.map(({ rssBytes }) => `${(rssBytes / 1e6).toFixed(0)} MB`)],
      ],
    },
    text('Latency from a frame being due at its producer, p50 / p99 (open loop, at least once):'),
    stageTable(
      kafkas.flatMap(({ bundle, live }) =>
        live.map(({ load, eventsPerSecond, stages }) => ({
          label: `${bundle}, ${percent(load)} (${millions(eventsPerSecond)}/s)`,
          stages,
        })),
      ),
    ),
  ];
}

function sameText(peer: KafkaResult['peer']): string {
  if (peer === undefined) return 'not measured';
  return peer.sameAccepted ? 'yes' : '**NO**';
}

const QUANTILE_NAMES = { p50: 'p50', p99: 'p99', p999: 'p99.9' } as const;

function machines(total: number, rate: number): string {
  return `${millions(total)} / ${millions(rate)} = ${Math.ceil(total / rate)}`;
}
