import { rename, rm } from 'node:fs/promises';

import { messageOf, TriggerError } from '../errors.js';
import type { AcceptedEvent, SourcePosition } from '../event/accepted-event.js';
import type { LedgerOrigin } from '../ledger/entry.js';
import { ledgerPath } from '../ledger/ledger-file.js';
import { frameFingerprint } from '../recording/frame-fingerprint.js';
import { FramePacker } from '../recording/frame-packer.js';
import { L1fWriter, type WrittenExtent } from '../recording/l1f-writer.js';
import { DEFAULT_EVENTS_PER_FRAME, formatOf, refuseExisting } from '../recording/open.js';
import { partialPath, type RecordingHeader } from '../recording/recording.js';
import { AppendedFile } from './appended-file.js';
import {
  checkpointPath,
  readCheckpoint,
  removeCheckpoint,
  syncFolder,
  writeCheckpoint,
  type Checkpoint,
} from './checkpoint.js';
import { RecordedLedger } from './recorded-ledger.js';
import { acceptedLine, deadLetterLine } from './result-lines.js';
import type { Delivery, Sink } from './sink.js';

const CHECKPOINT_INTERVAL_MS = 1000;

export interface RecordingSinkOptions {
  /** Label names and provenance of the recording. */
  readonly header: RecordingHeader;
  /** Replace files that are there; without it they are refused. */
  readonly overwrite?: boolean;
  /** Go on with the unfinished output that has this checkpoint. */
  readonly resume?: Checkpoint | undefined;
  /** Default: 1000. */
  readonly checkpointIntervalMs?: number | undefined;
  /** Decisions are taken down beside the recording. Default: they are not. */
  readonly ledger?: Omit<LedgerOrigin, 'sink'> | undefined;
}

/** How long each file was after a whole delivery. */
interface Extents {
  readonly recording: WrittenExtent;
  readonly acceptedBytes: number;
  readonly deadLetterBytes: number;
}

interface FinishedPosition {
  readonly position: SourcePosition;
  readonly fingerprint: number;
}

/**
 * Accepted events into a native recording OUT (`.l1f` or `.l1f.zst`), with up to three files beside it:
 *
 * - `OUT.accepted.jsonl`: one JSON object per accepted event (result-lines.ts), in the order of the recording's events;
 * - `OUT.dead-letter.jsonl`: one JSON object per frame or event that could not be decided: `kind`, `reason`,
 *   `detail`, `source` and `bytes` (base64). Only if there is any;
 * - `OUT.ledger.jsonl`: the ledger, one JSON object per entry (ledger/ledger-file.ts), where one is asked for.
 *
 * Consecutive accepted events of a delivery that agree in run, luminosity section and encoding share a frame.
 *
 * Until `complete`, each file has `.partial` behind its name, and `OUT.checkpoint.json` says which frames of the source
 * are finished and how long the files were then. It is replaced once a second, after the files have been synced. An
 * output that was left behind unfinished, however its process ended, is gone on with from there (`resume`): what is
 * beyond the checkpoint is cut off and decided again. `close` without `complete` leaves such an output.
 *
 * When `write` resolves, the delivery has been handed to the operating system.
 */
export class RecordingSink implements Sink {
  readonly name: string;
  readonly #header: RecordingHeader;
  readonly #recording: L1fWriter;
  readonly #accepted: AppendedFile;
  readonly #ledger: RecordedLedger | undefined;
  #deadLetters: AppendedFile | undefined;
  #extents: Extents;
  readonly #positions = new Map<string, FinishedPosition>();
  /** Positions of the checkpoint gone on with, until their partition gets further. */
  readonly #resumed: Map<string, Checkpoint['positions'][number]>;
  #moved = false;
  #checkpointing: Promise<void> = Promise.resolve();
  #checkpointFailure: { error: unknown } | undefined;
  readonly #timer: NodeJS.Timeout;
  #completed = false;

  private constructor(
    options: RecordingSinkOptions,
    recording: L1fWriter,
    accepted: AppendedFile,
    deadLetters: AppendedFile | undefined,
    ledger: RecordedLedger | undefined,
  ) {
    this.name = recording.path;
    this.#header = options.header;
    this.#recording = recording;
    this.#accepted = accepted;
    this.#deadLetters = deadLetters;
    this.#ledger = ledger;
    this.#extents = this.#measure();
    this.#resumed = new Map(options.resume?.positions.map((one) => [`${one.source}/${one.partition}`, one]));
    // In a turn of its own: between a write and the `finished` of its frames there is none, so that positions and
    // extents belong together whenever the timer fires.
    this.#timer = setInterval(() => {
      if (this.#moved) void this.#checkpoint();
    }, options.checkpointIntervalMs ?? CHECKPOINT_INTERVAL_MS);
    this.#timer.unref();
  }

  /** Throws TriggerError INPUT_REFUSED where an output exists already, cannot be one or cannot be gone on with. */
  static async create(path: string, options: RecordingSinkOptions): Promise<RecordingSink> {
    const format = formatOf(path);
    if (format === 'hdf5') {
      throw new TriggerError(
        'INPUT_REFUSED',
        `${path}: expected a name that ends in .l1f or .l1f.zst for accepted events, received HDF5; convert it afterwards`,
      );
    }
    const sink = await (options.resume === undefined
      ? RecordingSink.#begin(path, format, options)
      : RecordingSink.#goOn(path, format, options, options.resume));
    await sink.#checkpoint();
    if (sink.#checkpointFailure !== undefined) {
      const { error } = sink.#checkpointFailure;
      await sink.close().catch(() => undefined);
      throw error;
    }
    return sink;
  }

  static async #begin(path: string, format: 'l1f' | 'l1f.zst', options: RecordingSinkOptions): Promise<RecordingSink> {
    const all = [path, acceptedPath(path), deadLetterPath(path), ledgerPath(path)];
    if (options.overwrite === true) {
      await removeCheckpoint(path);
      for (const name of [deadLetterPath(path), ledgerPath(path)]) {
        for (const file of [name, partialPath(name)]) await rm(file, { force: true });
      }
    } else {
      if ((await readCheckpoint(path)) !== undefined) {
        throw new TriggerError(
          'INPUT_REFUSED',
          `${checkpointPath(path)}: an unfinished output is there; go on with it (--resume) or replace it (--overwrite)`,
        );
      }
      await refuseExisting([...all, ...all.map(partialPath)]);
    }
    let recording: L1fWriter | undefined;
    try {
      recording = await L1fWriter.create(path, format, options.header);
      const accepted = await AppendedFile.create(acceptedPath(path));
      const ledger = options.ledger === undefined ? undefined : await RecordedLedger.create(path, options.ledger);
      return new RecordingSink(options, recording, accepted, undefined, ledger);
    } catch (error) {
      await recording?.discard();
      if (error instanceof TriggerError) throw error;
      throw new TriggerError('INPUT_REFUSED', `${path}: cannot be created: ${messageOf(error)}`, { cause: error });
    }
  }

  static async #goOn(
    path: string,
    format: 'l1f' | 'l1f.zst',
    options: RecordingSinkOptions,
    checkpoint: Checkpoint,
  ): Promise<RecordingSink> {
    const { header } = options;
    for (const key of new Set([...header.provenance.keys(), ...Object.keys(checkpoint.provenance)])) {
      const before = checkpoint.provenance[key];
      const now = header.provenance.get(key);
      if (before === now) continue;
      throw new TriggerError(
        'INPUT_REFUSED',
        `${checkpointPath(path)}: begun with another ${key}: expected ${before ?? 'none'}, received ${now ?? 'none'}`,
      );
    }
    const ledgerBytes = checkpoint.ledger_bytes;
    if ((ledgerBytes === undefined) !== (options.ledger === undefined)) {
      throw new TriggerError(
        'INPUT_REFUSED',
        `${checkpointPath(path)}: begun ${ledgerBytes === undefined ? 'without' : 'with'} a ledger: expected the same --ledger`,
      );
    }
    const { file_bytes: fileBytes, frames, bytes, crc32: sum } = checkpoint.recording;
    const extent = { fileBytes, frames, bytes, crc32: sum };
    const recording = await L1fWriter.resume(path, format, header, extent);
    const opened: { close(): Promise<void> }[] = [];
    const open = async <T extends { close(): Promise<void> }>(opening: Promise<T>): Promise<T> => {
      const file = await opening;
      opened.push(file);
      return file;
    };
    try {
      const accepted = await open(AppendedFile.resume(acceptedPath(path), checkpoint.accepted_bytes));
      const letters = checkpoint.dead_letter_bytes;
      const deadLetters = letters > 0 ? await open(AppendedFile.resume(deadLetterPath(path), letters)) : undefined;
      if (letters === 0) await rm(partialPath(deadLetterPath(path)), { force: true });
      const ledger =
        ledgerBytes === undefined || options.ledger === undefined
          ? undefined
          : await RecordedLedger.resume(path, options.ledger, ledgerBytes, chainsOf(checkpoint));
      return new RecordingSink(options, recording, accepted, deadLetters, ledger);
    } catch (error) {
      await recording.abandon(extent);
      for (const file of opened) await file.close();
      throw error;
    }
  }

  async write({ accepted, deadLetters, ledger = [] }: Delivery): Promise<void> {
    if (this.#checkpointFailure !== undefined) throw this.#checkpointFailure.error;
    try {
      if (accepted.length > 0) await this.#writeAccepted(accepted);
      if (deadLetters.length > 0) {
        this.#deadLetters ??= await AppendedFile.create(deadLetterPath(this.name));
        await this.#deadLetters.append(deadLetters.map(deadLetterLine).join(''));
      }
    } catch (error) {
      throw failure(this.name, error);
    }
    // Together with the lengths: both are of whole deliveries.
    this.#ledger?.add(ledger);
    this.#extents = this.#measure();
  }

  async #writeAccepted(events: readonly AcceptedEvent[]): Promise<void> {
    const packer = new FramePacker(DEFAULT_EVENTS_PER_FRAME);
    for (const event of events) {
      const packed = packer.add({ ...event, sourceGroup: undefined, createdUnixNs: 0n });
      if (packed !== undefined) await this.#recording.write(packed.frame);
    }
    const last = packer.finish();
    if (last !== undefined) await this.#recording.write(last.frame);
    await this.#recording.flush();
    await this.#accepted.append(events.map(acceptedLine).join(''));
  }

  finished(position: SourcePosition, bytes: Uint8Array | null): void {
    this.#positions.set(`${position.source}/${position.partition}`, {
      position,
      fingerprint: frameFingerprint(bytes ?? new Uint8Array(0)),
    });
    this.#moved = true;
  }

  async complete(): Promise<void> {
    clearInterval(this.#timer);
    await this.#checkpointing;
    if (this.#checkpointFailure !== undefined) throw this.#checkpointFailure.error;
    try {
      await this.#recording.seal();
      const snapshot = this.#snapshot(true);
      await this.#syncLines();
      await writeCheckpoint(this.name, snapshot);
      await this.#closeLines();
      this.#completed = true;
      await finishOutput(this.name);
    } catch (error) {
      throw failure(this.name, error);
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    if (this.#completed) return;
    await this.#checkpointing;
    try {
      await this.#recording.abandon(this.#extents.recording);
      await this.#accepted.truncate(this.#extents.acceptedBytes);
      await this.#deadLetters?.truncate(this.#extents.deadLetterBytes);
      const snapshot = this.#snapshot(false);
      await this.#syncLines();
      await writeCheckpoint(this.name, snapshot);
    } catch (error) {
      throw failure(this.name, error);
    } finally {
      await this.#closeLines();
    }
  }

  /** One at a time; never throws: a failure ends the stream at its next write, or at its end. */
  #checkpoint(): Promise<void> {
    this.#moved = false;
    const snapshot = this.#snapshot(false);
    this.#checkpointing = this.#checkpointing.then(async () => {
      try {
        await this.#recording.sync();
        await this.#syncLines();
        await writeCheckpoint(this.name, snapshot);
      } catch (error) {
        this.#checkpointFailure ??= { error: failure(checkpointPath(this.name), error) };
      }
    });
    return this.#checkpointing;
  }

  async #syncLines(): Promise<void> {
    await this.#accepted.sync();
    await this.#deadLetters?.sync();
    await this.#ledger?.sync();
  }

  async #closeLines(): Promise<void> {
    await this.#accepted.close();
    await this.#deadLetters?.close();
    await this.#ledger?.close();
  }

  #measure(): Extents {
    return {
      recording: this.#recording.extent,
      acceptedBytes: this.#accepted.bytes,
      deadLetterBytes: this.#deadLetters?.bytes ?? 0,
    };
  }

  #snapshot(complete: boolean): Checkpoint {
    const { recording, acceptedBytes, deadLetterBytes } = this.#extents;
    const ledgerBytes = this.#ledger?.seal();
    const positions = new Map(this.#resumed);
    for (const [key, { position, fingerprint }] of this.#positions) {
      positions.set(key, {
        source: position.source,
        partition: position.partition,
        next: String(position.offset + 1n),
        last_frame_fingerprint: fingerprint,
        chain: Buffer.from(this.#ledger?.chainOf(position.source, position.partition) ?? []).toString('hex'),
      });
    }
    return {
      format: 1,
      complete,
      provenance: Object.fromEntries(this.#header.provenance),
      positions: [...positions.values()],
      recording: {
        file_bytes: recording.fileBytes,
        frames: recording.frames,
        bytes: recording.bytes,
        crc32: recording.crc32,
      },
      accepted_bytes: acceptedBytes,
      dead_letter_bytes: deadLetterBytes,
      ...(ledgerBytes === undefined ? {} : { ledger_bytes: ledgerBytes }),
    };
  }
}

/** Give the files of a sealed output their names; the recording last, so that where it is, all are. */
export async function finishOutput(path: string): Promise<void> {
  for (const name of [ledgerPath(path), deadLetterPath(path), acceptedPath(path), path]) {
    try {
      await rename(partialPath(name), name);
    } catch (error) {
      // None was needed, or it has its name already.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw failure(name, error);
    }
  }
  await syncFolder(path);
  await removeCheckpoint(path);
}

function chainsOf({ positions }: Checkpoint): Map<string, Uint8Array> {
  return new Map(
    positions.map(({ source, partition, chain }) => [`${source}/${partition}`, Buffer.from(chain, 'hex')]),
  );
}

export function acceptedPath(path: string): string {
  return `${path}.accepted.jsonl`;
}

function deadLetterPath(path: string): string {
  return `${path}.dead-letter.jsonl`;
}

function failure(path: string, error: unknown): TriggerError {
  return new TriggerError('SINK_FAILED', `${path}: cannot be written: ${messageOf(error)}`, { cause: error });
}
