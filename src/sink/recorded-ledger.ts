/**
 * The ledger beside a recording (ledger/ledger-file.ts). What frames came to is collected until the next checkpoint and
 * makes one entry then: a write for each frame would cost several times what its digest does.
 */
import { basename } from 'node:path';

import { nextEntry, type LedgerOrigin, type LedgerSection } from '../ledger/entry.js';
import { ledgerLine, ledgerPath } from '../ledger/ledger-file.js';
import { AppendedFile } from './appended-file.js';

/** Frames of an entry at most. */
const MAX_ENTRY_FRAMES = 4096;

/** Of one partition, until its entry is made. */
interface Pending {
  readonly source: string;
  readonly partition: number;
  readonly frames: LedgerSection['frames'][number][];
  readonly paths: LedgerSection['paths'][number][];
}

export class RecordedLedger {
  readonly #file: AppendedFile;
  readonly #origin: LedgerOrigin;
  /** Where the chain of each partition (`source/partition`) ends, with the last entry that was made. */
  readonly #chains: Map<string, Uint8Array>;
  readonly #pending = new Map<string, Pending>();
  /** Entries that are made and not in the file yet, and its length with them. */
  readonly #lines: string[] = [];
  #bytes: number;

  private constructor(file: AppendedFile, origin: LedgerOrigin, chains: ReadonlyMap<string, Uint8Array>) {
    this.#file = file;
    this.#bytes = file.bytes;
    this.#origin = origin;
    this.#chains = new Map(chains);
  }

  static async create(recording: string, origin: Omit<LedgerOrigin, 'sink'>): Promise<RecordedLedger> {
    const file = await AppendedFile.create(ledgerPath(recording));
    return new RecordedLedger(file, { ...origin, sink: basename(recording) }, new Map());
  }

  /** Go on behind the first `bytes`, where chains ended with `chains`; INPUT_REFUSED where there are fewer. */
  static async resume(
    recording: string,
    origin: Omit<LedgerOrigin, 'sink'>,
    bytes: number,
    chains: ReadonlyMap<string, Uint8Array>,
  ): Promise<RecordedLedger> {
    const file = await AppendedFile.resume(ledgerPath(recording), bytes);
    return new RecordedLedger(file, { ...origin, sink: basename(recording) }, chains);
  }

  /** Take down what came of frames; in memory until {@link seal} and {@link sync}. */
  add(sections: readonly LedgerSection[]): void {
    for (const { source, partition, frames, paths } of sections) {
      const key = `${source}/${partition}`;
      const pending: Pending = this.#pending.get(key) ?? { source, partition, frames: [], paths: [] };
      this.#pending.set(key, pending);
      pending.frames.push(...frames);
      const known = new Set(pending.paths.map(({ menu }) => menu));
      pending.paths.push(...paths.filter(({ menu }) => !known.has(menu)));
      if (pending.frames.length >= MAX_ENTRY_FRAMES) this.#make(key, pending);
    }
  }

  /** Make entries of everything that was added; returns how long the file is with them. */
  seal(): number {
    for (const [key, pending] of this.#pending) this.#make(key, pending);
    return this.#bytes;
  }

  chainOf(source: string, partition: number): Uint8Array {
    return this.#chains.get(`${source}/${partition}`) ?? new Uint8Array(0);
  }

  #make(key: string, pending: Pending): void {
    this.#pending.delete(key);
    const entry = nextEntry(pending, this.#chains.get(key) ?? new Uint8Array(0), this.#origin);
    this.#chains.set(key, entry.chain);
    const line = ledgerLine(entry);
    this.#lines.push(line);
    this.#bytes += Buffer.byteLength(line);
  }

  /** Bring the entries that are made to the disk. One call at a time. */
  async sync(): Promise<void> {
    const ready = this.#lines.length;
    await this.#file.append(this.#lines.slice(0, ready).join(''));
    // Only now: what a full disk refuses is written again at the same place.
    this.#lines.splice(0, ready);
    await this.#file.sync();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}
