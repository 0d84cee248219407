/**
 * Entries of the ledger: the frames of one transaction or write, chained to those before them (LedgerEntry in
 * proto/l1_event.proto).
 */
import { studentFields, studentOf } from '../event/accepted-event.js';
import { bigintToInt64, int64ToBigint } from '../event/frame.js';
import { l1trigger } from '../event/generated/l1_event.js';
import { chained, type DecidingPath } from './frame-digest.js';

const Wire = l1trigger.v1.LedgerEntry;

export interface LedgerFrame {
  readonly offset: bigint;
  /** Generation of the menu that decided the frame. */
  readonly menu: number;
  readonly accepted: number;
  readonly faults: number;
  readonly digest: Uint8Array;
  /** Of the frame as received (see inputChecksum): part of the digest, and there to tell what differs. */
  readonly input: Uint8Array;
}

/** Of the digests in the entries written here. */
export const LEDGER_FORMAT = 2;

export interface LedgerEntry {
  readonly source: string;
  readonly partition: number;
  /** Empty where the chain begins. */
  readonly previous: Uint8Array;
  readonly frames: readonly LedgerFrame[];
  readonly chain: Uint8Array;
  readonly paths: readonly (DecidingPath & { readonly menu: number })[];
  readonly environment: string;
  /** {@link LEDGER_FORMAT}, or that of another version. */
  readonly format: number;
  /** Where what came of the frames went: a topic, or the file name of a recording. */
  readonly sink: string;
  /** Frames, and what came of them, may be there again. */
  readonly atLeastOnce: boolean;
}

/** What a stream has to say of frames of one partition. */
export type LedgerSection = Pick<LedgerEntry, 'source' | 'partition' | 'frames' | 'paths'>;

/** How and where decisions are taken and published, which a sink knows. */
export type LedgerOrigin = Pick<LedgerEntry, 'sink' | 'environment' | 'atLeastOnce'>;

/** The entry that goes on with a chain. */
export function nextEntry(section: LedgerSection, previous: Uint8Array, origin: LedgerOrigin): LedgerEntry {
  return { ...section, previous, chain: chainOf(previous, section.frames), ...origin, format: LEDGER_FORMAT };
}

/** The chain value after these frames. */
export function chainOf(previous: Uint8Array, frames: readonly LedgerFrame[]): Uint8Array {
  return frames.reduce((chain, { digest }) => chained(chain, digest), previous);
}

export function encodeLedgerEntry(entry: LedgerEntry): Uint8Array {
  return Wire.encode({
    ...entry,
    frames: entry.frames.map((frame) => ({ ...frame, offset: bigintToInt64(frame.offset) })),
    paths: entry.paths.map(({ student, ...path }) => ({ ...path, ...studentFields(student) })),
  }).finish();
}

/** Throws what protobufjs throws for bytes that are not an entry. */
export function decodeLedgerEntry(bytes: Uint8Array): LedgerEntry {
  const wire = Wire.decode(bytes);
  return {
    source: wire.source,
    partition: wire.partition,
    previous: wire.previous,
    frames: wire.frames.map(({ offset, menu, accepted, faults, digest, input }) => ({
      offset: offset == null ? 0n : int64ToBigint(offset),
      menu: menu ?? 0,
      accepted: accepted ?? 0,
      faults: faults ?? 0,
      digest: digest ?? new Uint8Array(0),
      input: input ?? new Uint8Array(0),
    })),
    chain: wire.chain,
    paths: wire.paths.map(({ menu, path, modelSha256, threshold, studentSha256, studentCut }) => ({
      menu: menu ?? 0,
      path: path ?? '',
      modelSha256: modelSha256 ?? '',
      threshold: threshold ?? 0,
      ...studentOf(studentSha256, studentCut),
    })),
    environment: wire.environment,
    format: wire.format,
    sink: wire.sink,
    atLeastOnce: wire.atLeastOnce,
  };
}
