/**
 * Native recordings: `.l1f`, and `.l1f.zst`, which is the same compressed.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';

import { messageOf, TriggerError } from '../errors.js';
import { BlockPool, type Block } from '../memory/block-pool.js';
import { encodeLength, readDelimited, type DelimitedMessage } from './delimited.js';
import { decodeHeader, type StatedExtent } from './l1f-header.js';
import type { ReadOptions, RecordedFrame, RecordingHeader, RecordingReader } from './recording.js';
import { decompressFile } from './zstd.js';

const READ_BYTES = 1024 * 1024;
/** Of all readers: where a recording is read in a loop, each round would otherwise take memory of its own. */
const blockPool = new BlockPool(READ_BYTES);

export class L1fReader implements RecordingReader {
  readonly path: string;
  readonly format: 'l1f' | 'l1f.zst';
  readonly header: RecordingHeader;
  readonly eventCount = undefined;
  readonly sizeBytes: number;
  readonly #file: FileHandle;
  readonly #input: FileInput;
  readonly #stated: StatedExtent | undefined;

  private constructor(
    path: string,
    format: 'l1f' | 'l1f.zst',
    file: FileHandle,
    sizeBytes: number,
    input: FileInput,
    { header, extent }: { header: RecordingHeader; extent: StatedExtent | undefined },
  ) {
    this.path = path;
    this.format = format;
    this.#file = file;
    this.sizeBytes = sizeBytes;
    this.#input = input;
    this.header = header;
    this.#stated = extent;
  }

  /** Open a recording and read its header; throws TriggerError INPUT_REFUSED or RECORDING_TRUNCATED. */
  static async open(path: string, format: 'l1f' | 'l1f.zst'): Promise<L1fReader> {
    let file: FileHandle;
    try {
      file = await open(path, 'r');
    } catch (error) {
      throw new TriggerError('INPUT_REFUSED', `${path}: cannot be opened: ${messageOf(error)}`, { cause: error });
    }
    try {
      const { size } = await file.stat();
      const input = new FileInput(file, path, format);
      const first = await input.messages.next();
      if (first.done === true) {
        throw new TriggerError('RECORDING_TRUNCATED', `${path}: expected a recording's header, received an empty file`);
      }
      const header = decodeHeader(first.value.bytes, path);
      first.value.release();
      return new L1fReader(path, format, file, size, input, header);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get readBytes(): number {
    return this.#input.position;
  }

  async *frames(options: ReadOptions = {}): AsyncGenerator<RecordedFrame, undefined> {
    const { checksum = false } = options;
    let number = 0;
    let read = 0;
    let sum = 0;
    for await (const { bytes, release } of this.#input.messages) {
      const length = encodeLength(bytes.length);
      read += length.length + bytes.length;
      if (checksum) sum = crc32(bytes, crc32(length, sum));
      yield { number: number++, bytes, sourceGroups: undefined, release };
    }
    if (this.#stated !== undefined) this.#compare(this.#stated, number, read, checksum ? sum : undefined);
  }

  /** Whether the file holds what its header says. */
  #compare(stated: StatedExtent, frames: number, bytes: number, sum: number | undefined): void {
    if (!stated.complete) {
      throw new TriggerError(
        'RECORDING_TRUNCATED',
        `${this.path}: incomplete: its writer never finished it; it ends after ${frames} frames, ${bytes} bytes`,
      );
    }
    if (frames < stated.frames || bytes < stated.bytes) {
      throw new TriggerError(
        'RECORDING_TRUNCATED',
        `${this.path}: frame ${frames} at byte ${bytes} behind the header: expected ${stated.frames} frames in ` +
          `${stated.bytes} bytes, received ${frames} in ${bytes} before the end of the file`,
      );
    }
    if (sum === undefined) return;
    if (frames > stated.frames || bytes > stated.bytes) {
      throw new TriggerError(
        'INPUT_REFUSED',
        `${this.path}: frame ${stated.frames}: expected the end after ${stated.bytes} bytes of frames, ` +
          `received ${frames} frames in ${bytes} bytes`,
      );
    }
    if (sum !== stated.crc32) {
      throw new TriggerError(
        'INPUT_REFUSED',
        `${this.path}: expected frames with the CRC-32 ${hexadecimal(stated.crc32)}, received ${hexadecimal(sum)}`,
      );
    }
  }

  async close(): Promise<void> {
    await this.#input.messages.return(undefined);
    await this.#file.close();
  }
}

/** The messages of a file; the block after the one in use is read or decompressed meanwhile. */
class FileInput {
  position = 0;
  readonly messages: AsyncGenerator<DelimitedMessage>;
  readonly #file: FileHandle;

  constructor(file: FileHandle, path: string, format: 'l1f' | 'l1f.zst') {
    this.#file = file;
    const blocks = format === 'l1f' ? this.#blocks() : decompressFile(file, (position) => (this.position = position));
    this.messages = readDelimited(oneAhead<Uint8Array | Block>(blocks), path, blockPool);
  }

  async *#blocks(): AsyncGenerator<Uint8Array | Block> {
    for (;;) {
      const block = blockPool.take();
      const { bytesRead } = await this.#file.read(block.bytes, 0, READ_BYTES, this.position);
      if (bytesRead === 0) {
        block.release();
        return;
      }
      this.position += bytesRead;
      yield bytesRead === READ_BYTES ? block : block.upTo(bytesRead);
    }
  }
}

/** Ask for the next item while the current one is being used. */
async function* oneAhead<T>(items: AsyncGenerator<T>): AsyncGenerator<T> {
  let next = items.next();
  try {
    for (;;) {
      const item = await next;
      if (item.done === true) return;
      next = items.next();
      // Awaited in its turn; a failure before that is no unhandled rejection.
      next.catch(() => undefined);
      yield item.value;
    }
  } finally {
    await next.catch(() => undefined);
    await items.return(undefined);
  }
}

function hexadecimal(sum: number): string {
  return sum.toString(16).padStart(8, '0');
}
