/**
 * Native recordings: `.l1f`, and `.l1f.zst`, which is the same compressed.
 */
import { open, type FileHandle } from 'node:fs/promises';

import { messageOf, TriggerError } from '../errors.js';
import { l1trigger } from '../event/generated/l1_event.js';
import { BlockPool, type Block } from './block-pool.js';
import { readDelimited, type DelimitedMessage } from './delimited.js';
import type { RecordedFrame, RecordingHeader, RecordingReader } from './recording.js';
import { decompressFile } from './zstd.js';

const Wire = l1trigger.v1;

export const L1F_MAGIC = 'L1F';
export const L1F_VERSION = 1;

const READ_BYTES = 1024 * 1024;

export class L1fReader implements RecordingReader {
  readonly path: string;
  readonly format: 'l1f' | 'l1f.zst';
  readonly header: RecordingHeader;
  readonly eventCount = undefined;
  readonly sizeBytes: number;
  readonly #file: FileHandle;
  readonly #input: FileInput;

  private constructor(
    path: string,
    format: 'l1f' | 'l1f.zst',
    file: FileHandle,
    sizeBytes: number,
    input: FileInput,
    header: RecordingHeader,
  ) {
    this.path = path;
    this.format = format;
    this.#file = file;
    this.sizeBytes = sizeBytes;
    this.#input = input;
    this.header = header;
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
      return new L1fReader(path, format, file, size, input, decodeHeader(first.value.bytes, path));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get readBytes(): number {
    return this.#input.position;
  }

  async *frames(): AsyncGenerator<RecordedFrame, undefined> {
    let number = 0;
    for await (const { bytes, release } of this.#input.messages) {
      yield { number: number++, bytes, sourceGroups: undefined, release };
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
  readonly #pool = new BlockPool(READ_BYTES);

  constructor(file: FileHandle, path: string, format: 'l1f' | 'l1f.zst') {
    this.#file = file;
    const blocks = format === 'l1f' ? this.#blocks() : decompressFile(file, (position) => (this.position = position));
    this.messages = readDelimited(oneAhead<Uint8Array | Block>(blocks), path, this.#pool);
  }

  async *#blocks(): AsyncGenerator<Uint8Array | Block> {
    for (;;) {
      const block = this.#pool.take();
      const { bytesRead } = await this.#file.read(block.bytes, 0, READ_BYTES, this.position);
      if (bytesRead === 0) return;
      this.position += bytesRead;
      // Only at the end of the file, so that its memory need not come back.
      yield bytesRead === READ_BYTES ? block : block.bytes.subarray(0, bytesRead);
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

function decodeHeader(bytes: Uint8Array, path: string): RecordingHeader {
  let wire: l1trigger.v1.RecordingHeader;
  try {
    wire = Wire.RecordingHeader.decode(bytes);
  } catch (error) {
    throw new TriggerError('INPUT_REFUSED', `${path}: not a native recording: ${messageOf(error)}`, { cause: error });
  }
  if (wire.magic !== L1F_MAGIC) {
    throw new TriggerError(
      'INPUT_REFUSED',
      `${path}: not a native recording: expected the magic "${L1F_MAGIC}" in its header, received "${wire.magic}"`,
    );
  }
  if (wire.version !== L1F_VERSION) {
    throw new TriggerError(
      'INPUT_REFUSED',
      `${path}: expected version ${L1F_VERSION} of the native recording, received ${wire.version}`,
    );
  }
  return {
    labelNames: new Map(Object.entries(wire.labelNames).map(([label, name]) => [Number(label), name])),
    provenance: new Map(Object.entries(wire.provenance)),
  };
}
