import { open, rm, type FileHandle } from 'node:fs/promises';

import { messageOf, TriggerError } from '../errors.js';
import type { AcceptedEvent, DeadLetter, SourcePosition } from '../event/accepted-event.js';
import { encodingName } from '../event/layout.js';
import { FramePacker } from '../recording/frame-packer.js';
import { createRecording, DEFAULT_EVENTS_PER_FRAME, formatOf, refuseExisting } from '../recording/open.js';
import type { RecordingHeader, RecordingWriter } from '../recording/recording.js';
import type { Delivery, Sink } from './sink.js';

export interface RecordingSinkOptions {
  /** Label names and provenance of the new recording. */
  readonly header: RecordingHeader;
  /** Replace files that are there; without it they are refused. */
  readonly overwrite?: boolean;
}

/**
 * Accepted events into a native recording OUT (`.l1f` or `.l1f.zst`), with two files beside it:
 *
 * - `OUT.accepted.jsonl`: one JSON object per accepted event, in the order of the recording's events: the fields of
 *   AcceptedEvent in proto/l1_event.proto under their names there, `encoding` by name, bytes in base64, and
 *   `source.offset` as a string where it is beyond 2^53;
 * - `OUT.dead-letter.jsonl`: one JSON object per frame or event that could not be decided: `kind`, `reason`,
 *   `detail`, `source` and `bytes` (base64). Only if there is any.
 *
 * Consecutive accepted events of a delivery that agree in run, luminosity section and encoding share a frame.
 *
 * Durability: when `write` resolves, the delivery has been handed to the operating system, so it survives the end of
 * this process but not a power cut; `close` syncs all files to the disk. The recording lies at OUT.partial until it
 * is closed, and can be read from there by renaming it.
 */
export class RecordingSink implements Sink {
  readonly name: string;
  readonly #recording: RecordingWriter;
  readonly #accepted: FileHandle;
  readonly #deadLetterPath: string;
  #deadLetters: FileHandle | undefined;

  private constructor(recording: RecordingWriter, accepted: FileHandle) {
    this.name = recording.path;
    this.#recording = recording;
    this.#accepted = accepted;
    this.#deadLetterPath = deadLetterPath(recording.path);
  }

  /** Throws TriggerError INPUT_REFUSED where an output exists already or cannot be one. */
  static async create(path: string, options: RecordingSinkOptions): Promise<RecordingSink> {
    if (formatOf(path) === 'hdf5') {
      throw new TriggerError(
        'INPUT_REFUSED',
        `${path}: expected a name that ends in .l1f or .l1f.zst for accepted events, received HDF5; convert it afterwards`,
      );
    }
    const { header, overwrite = false } = options;
    if (overwrite) await rm(deadLetterPath(path), { force: true });
    else await refuseExisting([acceptedPath(path), deadLetterPath(path)]);
    const recording = await createRecording(path, { header, overwrite });
    try {
      return new RecordingSink(recording, await open(acceptedPath(path), 'w'));
    } catch (error) {
      await recording.discard();
      throw new TriggerError('INPUT_REFUSED', `${acceptedPath(path)}: cannot be created: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  async write({ accepted, deadLetters }: Delivery): Promise<void> {
    try {
      if (accepted.length > 0) await this.#writeAccepted(accepted);
      if (deadLetters.length > 0) {
        this.#deadLetters ??= await open(this.#deadLetterPath, 'w');
        await this.#deadLetters.writeFile(deadLetters.map(deadLetterLine).join(''));
      }
    } catch (error) {
      throw failure(this.name, error);
    }
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
    await this.#accepted.writeFile(events.map(acceptedLine).join(''));
  }

  async close(): Promise<void> {
    try {
      await this.#recording.close();
      for (const file of [this.#accepted, this.#deadLetters]) {
        await file?.sync();
        await file?.close();
      }
    } catch (error) {
      throw failure(this.name, error);
    }
  }
}

function acceptedPath(path: string): string {
  return `${path}.accepted.jsonl`;
}

function deadLetterPath(path: string): string {
  return `${path}.dead-letter.jsonl`;
}

function failure(path: string, error: unknown): TriggerError {
  return new TriggerError('SINK_FAILED', `${path}: cannot be written: ${messageOf(error)}`, { cause: error });
}

function acceptedLine(event: AcceptedEvent): string {
  return jsonLine({
    run: event.run,
    luminosity_section: event.luminositySection,
    orbit: event.orbit,
    bunch_crossing: event.bunchCrossing,
    encoding: encodingName(event.encoding),
    objects: base64(event.objects),
    paths: event.paths.map(({ path, model, modelSha256, score, threshold }) => ({
      path,
      model,
      model_sha256: modelSha256,
      score,
      threshold,
    })),
    source: sourceOf(event.position, event.index),
    label: event.label,
  });
}

function deadLetterLine({ kind, reason, detail, position, index, bytes }: DeadLetter): string {
  return jsonLine({ kind, reason, detail, source: sourceOf(position, index), bytes: base64(bytes) });
}

function sourceOf({ source, partition, offset }: SourcePosition, index: number | undefined): object {
  const exact = offset <= BigInt(Number.MAX_SAFE_INTEGER) && offset >= BigInt(Number.MIN_SAFE_INTEGER);
  return { source, partition, offset: exact ? Number(offset) : offset.toString(), index };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

function jsonLine(value: object): string {
  return `${JSON.stringify(value)}\n`;
}
