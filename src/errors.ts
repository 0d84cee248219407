/**
 * Every error the product throws on purpose. Bad events and frames are not errors: they are values (faults),
 * counted and dead-lettered.
 */
export type ErrorCode =
  | 'USAGE' // command line, configuration or environment refused
  | 'INPUT_REFUSED' // a recording, bundle or message that cannot be used
  | 'RECORDING_TRUNCATED' // a recording ends inside a frame
  | 'BROKER_FAILED' // a Kafka broker cannot be reached, or the local one did not start
  | 'SINK_FAILED' // accepted events or dead letters could not be written
  | 'SCORING_FAILED' // an inference session failed
  | 'MENU_BUSY' // another change of the menu is on its way
  | 'RELOAD_FAILED' // the emulator that was asked for another menu went away
  | 'VERIFICATION_FAILED'; // decisions are not those of a ledger

/** Codes that mean "refused before any work": exit code 2, where all others exit with 1. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set(['USAGE', 'INPUT_REFUSED', 'MENU_BUSY']);

export class TriggerError extends Error {
  readonly code: ErrorCode;
  /** Whether the same operation may succeed if it is tried again. */
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; retryable?: boolean } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'TriggerError';
    this.code = code;
    this.retryable = options.retryable ?? false;
  }

  /** Exit code that the command line ends with: 2 refused, 1 failed while running. */
  get exitCode(): 1 | 2 {
    return REFUSALS.has(this.code) ? 2 : 1;
  }
}

/**
 * Thrown where the right to publish what came of a partition has ended before it was published: nothing of it is or
 * will be visible, and its frames are read again, here or by another process.
 */
export class ClaimEnded extends Error {
  override readonly name = 'ClaimEnded';
}

/** The message of anything thrown, for logs and wrapping. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
