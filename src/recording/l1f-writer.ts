import type { FileHandle } from 'node:fs/promises';
import { open, rename, rm } from 'node:fs/promises';

import { l1trigger } from '../event/generated/l1_event.js';
import { encodeFrame, type L1Frame } from '../event/frame.js';
import { encodeLength } from './delimited.js';
import { L1F_MAGIC, L1F_VERSION } from './l1f-reader.js';
import { partialPath, type RecordingHeader, type RecordingWriter } from './recording.js';
import { openCompressor } from './zstd.js';

/** Bytes collected before they are written; with zstd, the content of one compressed frame. */
const BLOCK_BYTES = 1024 * 1024;
/** Blocks being compressed or written while more is taken. */
const BLOCKS_AHEAD = 3;

type Compress = (bytes: Uint8Array) => Promise<Uint8Array>;

/**
 * Writes `.l1f` and `.l1f.zst`. The compressed file is a row of independent zstd frames of about 1 MiB of content,
 * which every zstd tool reads as one.
 */
export class L1fWriter implements RecordingWriter {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #compress: Compress | undefined;
  #parts: Uint8Array[] = [];
  #held = 0;
  /** Each resolves once its block and all before it are with the operating system. */
  #writing: Promise<void>[] = [];

  private constructor(path: string, file: FileHandle, compress: Compress | undefined) {
    this.path = path;
    this.#file = file;
    this.#compress = compress;
  }

  static async create(path: string, format: 'l1f' | 'l1f.zst', header: RecordingHeader): Promise<L1fWriter> {
    const compress = format === 'l1f' ? undefined : await openCompressor();
    const writer = new L1fWriter(path, await open(partialPath(path), 'w'), compress);
    const wire = l1trigger.v1.RecordingHeader.encode({
      magic: L1F_MAGIC,
      version: L1F_VERSION,
      labelNames: Object.fromEntries(header.labelNames),
      provenance: Object.fromEntries(header.provenance),
    }).finish();
    await writer.#append(wire);
    return writer;
  }

  async write(frame: L1Frame): Promise<void> {
    await this.#append(encodeFrame(frame));
  }

  async #append(message: Uint8Array): Promise<void> {
    const length = encodeLength(message.length);
    this.#parts.push(length, message);
    this.#held += length.length + message.length;
    if (this.#held < BLOCK_BYTES) return;
    this.#writeBlock();
    if (this.#writing.length > BLOCKS_AHEAD) await this.#writing.shift();
  }

  #writeBlock(): void {
    if (this.#held === 0) return;
    const block = Buffer.concat(this.#parts, this.#held);
    this.#parts = [];
    this.#held = 0;
    const ready = this.#compress === undefined ? Promise.resolve(block) : this.#compress(block);
    const before = this.#writing.at(-1) ?? Promise.resolve();
    const written = Promise.all([ready, before]).then(([bytes]) => this.#writeAll(bytes));
    // Awaited by a later call; a failure before that is no unhandled rejection.
    written.catch(() => undefined);
    this.#writing.push(written);
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    let written = 0;
    while (written < bytes.length) written += (await this.#file.write(bytes, written)).bytesWritten;
  }

  async flush(): Promise<void> {
    this.#writeBlock();
    await this.#writing.at(-1);
    this.#writing = [];
  }

  async close(): Promise<void> {
    await this.flush();
    await this.#file.sync();
    await this.#file.close();
    await rename(partialPath(this.path), this.path);
  }

  async discard(): Promise<void> {
    await Promise.allSettled(this.#writing);
    await this.#file.close();
    await rm(partialPath(this.path), { force: true });
  }
}
