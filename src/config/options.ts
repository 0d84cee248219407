/**
 * Every option, once: its type, default, unit and description. The command line, the configuration file, their
 * validation and the help texts all come from this table.
 */
import { z } from 'zod';

import { parseSwapPoint, SWAP_POINT_FORMS } from '../event/swap-point.js';
import { LOG_LEVELS } from '../telemetry/logger.js';

/** Also from words; an empty word is not 0. */
const number = z.preprocess((value) => (value === '' ? undefined : value), z.coerce.number());
const count = z.coerce.number().int().positive();
const positive = z.coerce.number().positive();
const text = z.string().min(1);
/** Options that may be given several times; one value is a list of one. */
const list = <T extends z.ZodType>(item: T) =>
  z.preprocess((value) => (value === undefined || Array.isArray(value) ? value : [value]), z.array(item).min(1));
const flag = z.preprocess((value) => (value === 'true' ? true : value === 'false' ? false : value), z.boolean());
const rate = z.coerce.number().gt(0).lte(1);

interface OptionSpec<T extends z.ZodType> {
  readonly schema: T;
  /** Placeholder of the value in the help text; absent for switches. */
  readonly value?: string;
  readonly repeatable?: true;
  readonly help: string;
}

function option<T extends z.ZodType>(spec: OptionSpec<T>): OptionSpec<T> {
  return spec;
}

export const OPTIONS = {
  source: option({ schema: text, value: 'S', help: 'input: kafka:TOPIC or the path of a recording' }),
  sink: option({
    schema: text,
    value: 'S',
    help: 'accepted events: kafka:TOPIC or the path of a recording (.l1f, .l1f.zst)',
  }),
  model: option({
    schema: list(text).optional(),
    value: 'BUNDLE',
    repeatable: true,
    help: 'model bundle: a folder, or the name of a shipped one (default nae-events-m); repeatable, one path each',
  }),
  oneModel: option({ schema: text, value: 'BUNDLE', help: 'model bundle: a folder, or the name of a shipped one' }),
  targetRate: option({
    schema: rate.optional(),
    value: 'R',
    help: 'cut at the calibrated threshold that keeps this fraction of the background (default 1e-5)',
  }),
  threshold: option({
    schema: list(number).optional(),
    value: 'X',
    repeatable: true,
    help: 'cut at this score instead; once for all models, or once per model in their order',
  }),
  cascade: option({
    schema: flag.optional(),
    help:
      "let the student in each model's bundle reject first what the model cannot accept (models/run distil); " +
      'evaluate: count what is lost by it',
  }),
  to: option({ schema: text, value: 'S', help: 'where to replay to: kafka:TOPIC' }),
  pace: option({
    schema: z.enum(['max', 'lhc']).default('max'),
    value: 'P',
    help: 'max: as fast as it goes; lhc: at the spacing of the bunch crossings',
  }),
  speed: option({ schema: positive.default(1), value: 'F', help: 'factor on the pace lhc' }),
  loop: option({ schema: count.default(1), value: 'N', help: 'how often the recording is replayed' }),
  run: option({
    schema: z.coerce.number().int().nonnegative().max(0xffffffff).optional(),
    value: 'N',
    help: 'run number for recordings that have none (default 1), or to replay under',
  }),
  background: option({ schema: text, value: 'REC', help: 'background recording' }),
  signal: option({
    schema: list(z.string().regex(/^[^=]+=.+$/, 'expected NAME=RECORDING')).optional(),
    value: 'NAME=REC',
    repeatable: true,
    help: 'signal recording and what to call it; repeatable',
  }),
  against: option({
    schema: text.optional(),
    value: 'BUNDLE',
    help: 'compare every model with this one on the same events (paired bootstrap)',
  }),
  beyond: option({
    schema: text.optional(),
    value: 'BUNDLE[@R]',
    help: 'another trigger at its calibrated rate R (default 1e-5): state what the models find beyond it',
  }),
  union: option({
    schema: flag.default(false),
    help: 'also the union of the models, 2 to 4 paths that share the background efficiency',
  }),
  replicas: option({
    schema: count.min(40).max(10_000).multipleOf(2).default(200),
    value: 'N',
    help: 'bootstrap replicas, an even number',
  }),
  method: option({
    schema: z.enum(['empirical', 'gpd']).default('empirical'),
    value: 'M',
    help: 'thresholds from the empirical quantile, or from a generalised Pareto fit to the tail',
  }),
  targetRates: option({
    schema: list(rate).default([1e-2, 1e-3, 1e-4, 1e-5]),
    value: 'R',
    repeatable: true,
    help: 'background efficiency to calibrate; repeatable',
  }),
  encoding: option({
    schema: z.enum(['HW32', 'PHYS32']).optional(),
    value: 'E',
    help: 'encoding of the output (default: HW32, or as it is where the input has frames)',
  }),
  frameEvents: option({
    schema: count.max(65536).optional(),
    value: 'N',
    help: 'events per frame, where frames are made here (default 4096; convert: as they are)',
  }),
  brokers: option({
    schema: z.preprocess((value) => (typeof value === 'string' ? value.split(',') : value), z.array(text)).optional(),
    value: 'HOST:PORT,...',
    help: 'Kafka brokers (default: the environment variable KAFKA_BROKERS)',
  }),
  group: option({ schema: text.default('nae-trigger'), value: 'ID', help: 'consumer group' }),
  sessionTimeoutMs: option({
    schema: z.coerce.number().int().min(1_000).max(1_800_000).default(30_000),
    value: 'MS',
    help: 'how long a process may be silent before its partitions go to others of its group; bounded by the broker [ms]',
  }),
  deadLetter: option({
    schema: text.default('l1.dead-letter'),
    value: 'TOPIC',
    help: 'topic for frames and events that cannot be decided',
  }),
  reason: option({
    schema: list(text).optional(),
    value: 'R',
    repeatable: true,
    help: 'only dead letters with this reason; repeatable',
  }),
  letterSource: option({
    schema: text.optional(),
    value: 'S',
    help: 'only dead letters from this source: the topic or recording that the header source names',
  }),
  limit: option({ schema: count.optional(), value: 'N', help: 'dead letters to show (default 100) or send (all)' }),
  redriveTo: option({
    schema: text.optional(),
    value: 'S',
    help: 'kafka:TOPIC to send to (default: where each came from)',
  }),
  redriveGroup: option({
    schema: text.default('nae-trigger-redrive'),
    value: 'ID',
    help: 'consumer group that remembers what was sent',
  }),
  dryRun: option({ schema: flag.default(false), help: 'say what would be sent and send nothing' }),
  partitions: option({ schema: count.default(4), value: 'N', help: 'partitions of topics that are created' }),
  delivery: option({
    schema: z.enum(['exactly-once', 'at-least-once']).default('exactly-once'),
    value: 'D',
    help: 'from Kafka to Kafka: exactly-once, in transactions, or at-least-once',
  }),
  transactionIntervalMs: option({
    schema: z.coerce.number().int().positive().max(10_000).default(250),
    value: 'MS',
    help: 'how long a transaction collects frames [ms]',
  }),
  transactionMaxFrames: option({
    schema: count.default(4096),
    value: 'N',
    help: 'frames of one transaction at most',
  }),
  transactionMaxBytes: option({
    schema: count.default(8 * 1024 * 1024),
    value: 'B',
    help: 'accepted events and dead letters of one transaction at most [bytes]',
  }),
  ledger: option({
    schema: text.default('l1.ledger'),
    value: 'TOPIC',
    help: 'topic for the ledger of decisions (a recording keeps it beside itself); none: take down nothing',
  }),
  stopAtEnd: option({ schema: flag.default(false), help: 'end where the topic ends now, instead of waiting for more' }),
  tls: option({ schema: flag.default(false), help: 'connect to the brokers with TLS' }),
  tlsCa: option({ schema: text.optional(), value: 'FILE', help: 'certificate authority of the brokers (PEM)' }),
  saslMechanism: option({
    schema: z.enum(['plain', 'scram-sha-256', 'scram-sha-512']).optional(),
    value: 'M',
    help: 'SASL mechanism; user and password come from KAFKA_USERNAME and KAFKA_PASSWORD',
  }),
  workers: option({ schema: count.max(256).optional(), value: 'N', help: 'scoring workers (default: one per core)' }),
  maxWorkerReplacements: option({
    schema: z.coerce.number().int().nonnegative().default(10),
    value: 'N',
    help: 'replacements of failed scoring workers within 10 minutes before the process gives up',
  }),
  device: option({
    schema: z
      .string()
      .regex(/^(cpu|auto|cuda(:\d+)?)$/, 'expected cpu, auto, cuda or cuda:N')
      .default('auto'),
    value: 'D',
    help: 'cpu, cuda[:N], or auto: CUDA where it works, else the CPU',
  }),
  quantise: option({
    schema: z.enum(['hw32', 'none']).default('hw32'),
    value: 'Q',
    help: 'grid that PHYS32 and HDF5 input is rounded to; none is for studies',
  }),
  batchEvents: option({ schema: count.max(1 << 20).default(16384), value: 'N', help: 'events of a batch at most' }),
  inferenceRows: option({
    schema: count.multipleOf(64).max(65536).default(2048),
    value: 'N',
    help: 'rows of one inference call at most, a multiple of 64',
  }),
  maxBatchDelayUs: option({
    schema: z.coerce.number().nonnegative().default(1000),
    value: 'US',
    help: 'how long a partly filled batch waits for more events [us]',
  }),
  maxFrameBytes: option({
    schema: count.default(16 * 1024 * 1024),
    value: 'B',
    help: 'largest frame accepted [bytes]',
  }),
  maxInFlightBytes: option({
    schema: count.default(64 * 1024 * 1024),
    value: 'B',
    help: 'frames held for their results [bytes]',
  }),
  inputRateHz: option({
    schema: positive.optional(),
    value: 'HZ',
    help: 'rate of the input events, to state accepted rates in Hz',
  }),
  swapAt: option({
    schema: text
      .refine((value) => parseSwapPoint(value) !== undefined, `expected ${SWAP_POINT_FORMS}`)
      .default('next-frame'),
    value: 'P',
    help: `where another menu takes over: ${SWAP_POINT_FORMS}`,
  }),
  shadowEvents: option({
    schema: z.coerce.number().int().nonnegative().default(100_000),
    value: 'N',
    help: 'events of the stream that another menu scores beside the running one before it is taken; 0: none',
  }),
  shadowBand: option({
    schema: z.coerce
      .string()
      .regex(/^(none|[0-9.eE+-]+(\.\.[0-9.eE+-]+)?)$/, 'expected none, a factor, or LOW..HIGH')
      .default('3'),
    value: 'B',
    help: 'refuse another menu whose rate is beyond this factor of what is expected, or outside of LOW..HIGH; none: any',
  }),
  cancel: option({ schema: flag.default(false), help: 'give up the change that is on its way' }),
  httpPort: option({
    schema: z.coerce.number().int().min(0).max(65535).default(0),
    value: 'PORT',
    help: 'port of /metrics, /healthz and /menu; 0 picks a free one',
  }),
  reloadPort: option({
    schema: z.coerce.number().int().min(1).max(65535),
    value: 'PORT',
    help: 'port of the pages of the running emulator (its --http-port, or the one its log names)',
  }),
  httpReload: option({
    schema: z.enum(['loopback', 'off']).default('loopback'),
    value: 'W',
    help: 'who may change the menu over HTTP: whoever connects from this machine, or nobody',
  }),
  httpHost: option({
    schema: text.default('127.0.0.1'),
    value: 'ADDRESS',
    help: 'address that /metrics, /healthz and /menu are served at; anything but loopback lets others read them',
  }),
  skipFaulty: option({
    schema: flag.default(false),
    help: 'leave out, and count, frames and events that cannot be converted, instead of ending at the first',
  }),
  overwrite: option({ schema: flag.default(false), help: 'replace output files that exist' }),
  resume: option({
    schema: flag.default(false),
    help: 'go on with the unfinished output of an interrupted run, where there is one (sink: a recording)',
  }),
  checkpointIntervalMs: option({
    schema: count.default(1000),
    value: 'MS',
    help: 'how often a recording as sink notes how far it is; what came after is decided again by --resume [ms]',
  }),
  recording: option({ schema: text.optional(), value: 'REC', help: 'recording to show (default: the shipped sample)' }),
  stay: option({
    schema: flag.default(false),
    help: 'keep pipeline and pages up, looping the recording, until Ctrl-C',
  }),
  broker: option({
    schema: z.enum(['auto', 'none']).default('auto'),
    value: 'B',
    help: 'auto: start a local broker where none is given; none: run without Kafka',
  }),
  scores: option({
    schema: text.optional(),
    value: 'FILE.npy',
    help: 'write the scores of all events, in input order, as float32',
  }),
  reportDir: option({
    schema: text.default('benchmark-report'),
    value: 'DIR',
    help: 'folder of the report: report.html, report.md with its pictures, report.json',
  }),
  quick: option({
    schema: flag.default(false),
    help: 'one short run of everything: to see that it works, not for figures to quote',
  }),
  json: option({ schema: text.optional(), value: 'FILE', help: 'write the result as JSON (- for stdout)' }),
  config: option({ schema: text.optional(), value: 'FILE.yaml', help: 'options from a file, under the same names' }),
  logLevel: option({ schema: z.enum(LOG_LEVELS).default('info'), value: 'L', help: LOG_LEVELS.join(', ') }),
} as const;

export type OptionName = keyof typeof OPTIONS;

/** The validated options of a verb that takes `Names`. */
export type Settings<Names extends OptionName> = {
  readonly [Name in Names]: z.infer<(typeof OPTIONS)[Name]['schema']>;
};

/** Options that mean the same as another one but are given in another number. */
const SHARED_FLAGS: Partial<Record<OptionName, string>> = {
  targetRates: 'target-rate',
  oneModel: 'model',
  letterSource: 'source',
  redriveTo: 'to',
  redriveGroup: 'group',
  reloadPort: 'http-port',
};

/** `maxBatchDelayUs` on the command line and in configuration files: `max-batch-delay-us`. */
export function flagName(name: OptionName): string {
  return SHARED_FLAGS[name] ?? name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
