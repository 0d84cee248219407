/**
 * What a verb of the command line is.
 */
import type { OptionName, Settings } from '../config/options.js';
import type { Logger } from '../telemetry/logger.js';

/** What a verb gets besides its settings. */
export interface Context {
  readonly log: Logger;
  /** Aborted by the first SIGINT or SIGTERM: finish what was taken, then end. */
  readonly stop: AbortSignal;
  /** The settings as they are now: the command line over what the configuration file has come to say. Throws USAGE. */
  readonly reread: () => Settings<OptionName>;
}

export interface Verb<Names extends OptionName = OptionName> {
  readonly name: string;
  readonly summary: string;
  /** Positional arguments, all required. */
  readonly arguments: readonly string[];
  readonly options: readonly Names[];
  run(settings: Settings<Names>, positional: readonly string[], context: Context): Promise<void>;
}

/** Keeps the option names of a verb's literal list as a type. */
export function defineVerb<const Names extends OptionName>(verb: Verb<Names>): Verb<Names> {
  return verb;
}

/** Options that every verb takes. */
export const COMMON_OPTIONS = ['json', 'config', 'logLevel'] as const;
/** Options of every verb that talks to Kafka. */
export const KAFKA_OPTIONS = ['brokers', 'tls', 'tlsCa', 'saslMechanism'] as const;
/** Options of every verb that reads from and writes to Kafka. */
export const DELIVERY_OPTIONS = [
  'delivery',
  'transactionIntervalMs',
  'transactionMaxFrames',
  'transactionMaxBytes',
  'ledger',
] as const;
/** Options of every verb that scores. */
export const SCORING_OPTIONS = [
  'workers',
  'maxWorkerReplacements',
  'device',
  'quantise',
  'batchEvents',
  'inferenceRows',
  'maxBatchDelayUs',
  'maxFrameBytes',
  'maxInFlightBytes',
] as const;
