import type { FileHandle } from 'node:fs/promises';
import { open, rename, rm } from 'node:fs/promises';
import { crc32 } from 'node:zlib';

import { messageOf, TriggerError } from '../errors.js';
import { encodeFrame, type L1Frame } from '../event/frame.js';
import { encodeLength } from './delimited.js';
import { encodeHeader, type RecordingExtent } from './l1f-header.js';
import { partialPath, type RecordingHeader, type RecordingWriter } from './recording.js';
import { openCompressor, storedFrames } from './zstd.js';

/** Bytes collected before they are written; with zstd, the content of one compressed frame. */
const BLOCK_BYTES = 1024 * 1024;
/** Blocks being compressed or written while more is taken. */
const BLOCKS_AHEAD = 3;

type Compress = (bytes: Uint8Array) => Promise<Uint8Array>;

/** How far an unfinished recording has been written: what {@link L1fWriter.resume} needs to go on from there. */
export interface WrittenExtent extends RecordingExtent {
  /** Length of the file. */
  readonly fileBytes: number;
}

/**
 * Writes `.l1f` and `.l1f.zst`. The compressed file is a row of independent zstd frames of about 1 MiB of content,
 * which every zstd tool reads as one. The header is written twice, at the start and, with the final
 * {@link RecordingExtent}, in place at the end; it has a zstd frame of its own that is stored, not compressed, so that
 * its length stays.
 */
export class L1fWriter implements RecordingWriter {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #compress: Compress | undefined;
  readonly #header: RecordingHeader;
  #parts: Uint8Array[] = [];
  #held = 0;
  #frames = 0;
  #bytes = 0;
  #crc32 = 0;
  #fileBytes = 0;
  /** Each resolves once its block and all before it are with the operating system. */
  #writing: Promise<void>[] = [];

  private constructor(path: string, file: FileHandle, compress: Compress | undefined, header: RecordingHeader) {
    this.path = path;
    this.#file = file;
    this.#compress = compress;
    this.#header = header;
  }

  /** Begin a recording at its {@link partialPath}. */
  static async create(path: string, format: 'l1f' | 'l1f.zst', header: RecordingHeader): Promise<L1fWriter> {
    const compress = format === 'l1f' ? undefined : await openCompressor();
    const writer = new L1fWriter(path, await open(partialPath(path), 'w'), compress, header);
    await writer.#writeAll(writer.#headerBytes(false), 0);
    return writer;
  }

  /**
   * Go on with an unfinished recording, dropping what was written beyond `extent`.
   *
   * @throws TriggerError INPUT_REFUSED where the file is shorter than that
   */
  static async resume(
    path: string,
    format: 'l1f' | 'l1f.zst',
    header: RecordingHeader,
    extent: WrittenExtent,
  ): Promise<L1fWriter> {
    const compress = format === 'l1f' ? undefined : await openCompressor();
    const writer = new L1fWriter(path, await openAt(partialPath(path), extent.fileBytes), compress, header);
    writer.#frames = extent.frames;
    writer.#bytes = extent.bytes;
    writer.#crc32 = extent.crc32;
    writer.#fileBytes = extent.fileBytes;
    // It may have been sealed just before its writer died.
    await writer.#writeAll(writer.#headerBytes(false), 0);
    return writer;
  }

  /** How far it is written; of use only right after {@link flush}. */
  get extent(): WrittenExtent {
    return { frames: this.#frames, bytes: this.#bytes, crc32: this.#crc32, fileBytes: this.#fileBytes };
  }

  async write(frame: L1Frame): Promise<void> {
    const message = encodeFrame(frame);
    const length = encodeLength(message.length);
    this.#parts.push(length, message);
    this.#held += length.length + message.length;
    this.#frames++;
    if (this.#held < BLOCK_BYTES) return;
    this.#writeBlock();
    if (this.#writing.length > BLOCKS_AHEAD) await this.#writing.shift();
  }

  #headerBytes(complete: boolean): Uint8Array {
    const message = encodeHeader(this.#header, {
      complete,
      frames: complete ? this.#frames : 0,
      bytes: complete ? this.#bytes : 0,
      crc32: complete ? this.#crc32 : 0,
    });
    const bytes = Buffer.concat([encodeLength(message.length), message]);
    return this.#compress === undefined ? bytes : storedFrames(bytes);
  }

  #writeBlock(): void {
    if (this.#held === 0) return;
    const block = Buffer.concat(this.#parts, this.#held);
    this.#parts = [];
    this.#held = 0;
    this.#bytes += block.length;
    this.#crc32 = crc32(block, this.#crc32);
    const ready = this.#compress === undefined ? Promise.resolve(block) : this.#compress(block);
    const before = this.#writing.at(-1) ?? Promise.resolve();
    const written = Promise.all([ready, before]).then(([bytes]) => this.#writeAll(bytes, this.#fileBytes));
    // Awaited by a later call; a failure before that is no unhandled rejection.
    written.catch(() => undefined);
    this.#writing.push(written);
  }

  async #writeAll(bytes: Uint8Array, position: number): Promise<void> {
    let written = 0;
    while (written < bytes.length) {
      written += (await this.#file.write(bytes, written, bytes.length - written, position + written)).bytesWritten;
    }
    this.#fileBytes = Math.max(this.#fileBytes, position + written);
  }

  async flush(): Promise<void> {
    this.#writeBlock();
    await this.#writing.at(-1);
    this.#writing = [];
  }

  /** Bring what was flushed to the disk. */
  async sync(): Promise<void> {
    await this.#file.datasync();
  }

  /** Write the final header and bring everything to the disk; the file still lies at its {@link partialPath}. */
  async seal(): Promise<void> {
    await this.flush();
    await this.#file.sync();
    await this.#writeAll(this.#headerBytes(true), 0);
    await this.#file.sync();
    await this.#file.close();
  }

  async close(): Promise<void> {
    await this.seal();
    await rename(partialPath(this.path), this.path);
  }

  /** Leave the recording unfinished, cut to what it held at `extent`. */
  async abandon(extent: WrittenExtent): Promise<void> {
    await Promise.allSettled(this.#writing);
    await this.#file.truncate(extent.fileBytes);
    await this.#file.close();
  }

  async discard(): Promise<void> {
    await Promise.allSettled(this.#writing);
    await this.#file.close();
    await rm(partialPath(this.path), { force: true });
  }
}

/** Open a file to write on behind its first `bytes`, and drop the rest. */
export async function openAt(path: string, bytes: number): Promise<FileHandle> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r+');
    const { size } = await file.stat();
    if (size < bytes) throw new Error(`expected at least ${bytes} bytes, received ${size}`);
    await file.truncate(bytes);
    return file;
  } catch (error) {
    await file?.close();
    throw new TriggerError('INPUT_REFUSED', `${path}: cannot be gone on with: ${messageOf(error)}`, { cause: error });
  }
}
