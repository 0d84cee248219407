/**
 * Zstandard for `.l1f.zst` (format: RFC 8878).
 *
 * Node 20 has no zstd of its own, so two libraries share the work. Measured on HW32 frames (one core of a busy machine,
 * MB/s of decompressed data, decoding and encoding at level 3; the zstd command line there: 270 and 66):
 * @toondepauw/node-zstd (native, prebuilt as npm packages, runs on libuv's threads) 223 and 63; zstddec (WebAssembly,
 * streams, decodes only) 79-93; @bokuweb/zstd-wasm 99 and 26; zstd-codec decodes 61; fzstd decodes 25 and ignores
 * checksums; @hpcc-js/wasm-zstd 2 and 8; Node 22's own zlib 160 and 64. The native one takes whole frames only, so it
 * decodes the bounded frames that this writer makes, and zstddec every other: the single frame of the zstd command
 * line, of any length, with constant memory. Where the native one is not available for a platform, reading works
 * through zstddec alone. The native one cannot add content checksums; those of other writers are checked.
 */
import { readSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { ZSTDDecoder } from 'zstddec/stream';

import { messageOf, TriggerError } from '../errors.js';
import { StreamFault } from './delimited.js';

const COMPRESSION_LEVEL = 3;
const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
/** Decompressed bytes of a block are at most this many. */
const MAX_BLOCK_BYTES = 128 * 1024;
/** Frames of up to this many blocks (16 MiB) are decoded at once. */
const MAX_WHOLE_FRAME_BLOCKS = 128;
const READ_BYTES = 4 * 1024 * 1024;
/** Frames being decoded while one is being used. */
const FRAMES_AHEAD = 3;
/** Longest header of a frame. */
const MAX_HEADER_BYTES = 18;

interface WholeFrameCodec {
  encode(bytes: Buffer): Promise<Buffer>;
  decode(bytes: Buffer): Promise<Buffer>;
}

let wholeFrames: Promise<WholeFrameCodec | TriggerError> | undefined;

async function loadWholeFrameCodec(): Promise<WholeFrameCodec | TriggerError> {
  try {
    const { Decoder, Encoder } = await import('@toondepauw/node-zstd');
    const encoder = new Encoder(COMPRESSION_LEVEL);
    const decoder = new Decoder();
    return { encode: (bytes) => encoder.encode(bytes), decode: (bytes) => decoder.decode(bytes) };
  } catch (error) {
    return new TriggerError(
      'INPUT_REFUSED',
      `no zstd compressor for ${process.platform}-${process.arch} (write .l1f instead): ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** Prepare compression; throws TriggerError INPUT_REFUSED where this platform has no compressor. */
export async function openCompressor(): Promise<(bytes: Uint8Array) => Promise<Uint8Array>> {
  const codec = await (wholeFrames ??= loadWholeFrameCodec());
  if (codec instanceof TriggerError) throw codec;
  return (bytes) => codec.encode(asBuffer(bytes));
}

/**
 * Bytes as zstd frames that are not compressed: their length depends on that of the content alone, so that they can be
 * overwritten in place. One frame per block; single segment, content size in four bytes (RFC 8878, 3.1.1).
 */
export function storedFrames(bytes: Uint8Array): Uint8Array {
  const frames: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += MAX_BLOCK_BYTES) {
    const content = bytes.subarray(at, at + MAX_BLOCK_BYTES);
    const header = Buffer.alloc(12);
    header.writeUInt32LE(FRAME_MAGIC, 0);
    header[4] = 0xa0;
    header.writeUInt32LE(content.length, 5);
    // the last block, raw
    header.writeUIntLE((content.length << 3) | 1, 9, 3);
    frames.push(header, content);
  }
  return Buffer.concat(frames);
}

/**
 * Decompress a file of any number of zstd frames of any length.
 *
 * Yields fresh blocks of at most 16 MiB. Throws StreamFault, after everything before it has been yielded, where
 * the file ends inside a frame or its content is not zstd.
 *
 * @param onRead - told how far the file has been read, in bytes
 */
export async function* decompressFile(
  file: FileHandle,
  onRead: (position: number) => void,
): AsyncGenerator<Uint8Array> {
  const { size } = await file.stat();
  const codec = await (wholeFrames ??= loadWholeFrameCodec());
  const decoding: Promise<Uint8Array>[] = [];
  let position = 0;
  while (position < size) {
    const window = codec instanceof TriggerError ? undefined : await readAt(file, position, READ_BYTES);
    let used = 0;
    for (;;) {
      const end = window === undefined ? undefined : wholeFrameEnd(window, used);
      if (window === undefined || end === undefined || codec instanceof TriggerError) break;
      const decoded = decodeWhole(codec, window.subarray(used, end), position + used);
      // It is awaited in its turn; a failure before that is no unhandled rejection.
      decoded.catch(() => undefined);
      decoding.push(decoded);
      used = end;
      if (decoding.length > FRAMES_AHEAD) yield await decoding.shift()!;
    }
    if (used > 0) {
      position += used;
    } else {
      for (const decoded of decoding.splice(0)) yield await decoded;
      await streamDecoder.init();
      const frame = new StreamedFrame(file.fd, position);
      for (const block of frame.blocks()) {
        onRead(frame.position);
        yield block;
        await nextTurn();
      }
      position = frame.position;
    }
    onRead(position);
  }
  for (const decoded of decoding) yield await decoded;
}

async function decodeWhole(codec: WholeFrameCodec, frame: Uint8Array, position: number): Promise<Uint8Array> {
  try {
    return await codec.decode(asBuffer(frame));
  } catch (error) {
    throw new StreamFault(`zstd frame at byte ${position} of the file is corrupt: ${messageOf(error)}`, false, error);
  }
}

/** Where the frame that starts at `start` ends, if it lies in `bytes` whole and is short enough to decode at once. */
function wholeFrameEnd(bytes: Buffer, start: number): number | undefined {
  const header = bytes.subarray(start, start + MAX_HEADER_BYTES);
  const layout = header.length < 5 || header.readUInt32LE(0) !== FRAME_MAGIC ? undefined : frameLayout(header);
  if (layout === undefined) return undefined;
  let at = start + layout.headerBytes;
  for (let blocks = 0; blocks < MAX_WHOLE_FRAME_BLOCKS; blocks++) {
    if (at + 3 > bytes.length) return undefined;
    const block = blockLayout(bytes.readUIntLE(at, 3));
    if (block === undefined) return undefined;
    at += 3 + block.bytes;
    if (block.last) {
      at += layout.checksumBytes;
      return at <= bytes.length ? at : undefined;
    }
  }
  return undefined;
}

function frameLayout(header: Buffer): { headerBytes: number; checksumBytes: number } {
  const descriptor = header[4]!;
  const singleSegment = (descriptor & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!;
  const sizeBytes = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
  return {
    headerBytes: 5 + (singleSegment ? 0 : 1) + dictionaryBytes + sizeBytes,
    checksumBytes: (descriptor & 4) === 0 ? 0 : 4,
  };
}

/** What a block's header says: 1 bit last, 2 bits type (raw, run of one byte, compressed, reserved), 21 bits size. */
function blockLayout(header: number): { last: boolean; bytes: number } | undefined {
  const type = (header >> 1) & 3;
  const size = header >> 3;
  if (type === 3 || size > MAX_BLOCK_BYTES) return undefined;
  return { last: (header & 1) === 1, bytes: type === 1 ? 1 : size };
}

/** One frame, decoded block by block; the file is read as the decoder asks for it, which it can only do at once. */
class StreamedFrame {
  position: number;
  readonly #descriptor: number;
  #blocksRead = 0;
  #ended = false;

  constructor(descriptor: number, position: number) {
    this.#descriptor = descriptor;
    this.position = position;
  }

  *blocks(): Generator<Uint8Array> {
    const start = this.position;
    if (this.#skip()) return;
    let emptyOutputs = 0;
    let blocksRead = 0;
    try {
      for (const output of streamDecoder.decodeStreaming(this.#inputs())) {
        if (output.length > 0) yield output;
        // The decoder repeats a failing call for ever; one input gives at most one output that is empty.
        emptyOutputs = output.length > 0 || blocksRead !== this.#blocksRead ? 0 : emptyOutputs + 1;
        blocksRead = this.#blocksRead;
        if (emptyOutputs > 2) throw new StreamFault(`zstd frame at byte ${start} of the file is corrupt`, false);
      }
    } catch (error) {
      if (error instanceof StreamFault || this.#ended) throw error;
      throw new StreamFault(`zstd frame at byte ${start} of the file is corrupt: ${messageOf(error)}`, false, error);
    }
  }

  /** Skippable frames hold nothing for us. */
  #skip(): boolean {
    const header = this.#read(8);
    if (header.length === 8 && header.readUInt32LE(0) >>> 4 === SKIPPABLE_MAGIC >>> 4) {
      this.position += 8 + header.readUInt32LE(4);
      return true;
    }
    if (header.length >= 4 && header.readUInt32LE(0) !== FRAME_MAGIC) {
      throw new StreamFault(
        `expected a zstd frame (28 b5 2f fd) at byte ${this.position} of the file, ` +
          `received ${header.toString('hex', 0, 4).replace(/..(?=.)/g, '$& ')}`,
        false,
      );
    }
    return false;
  }

  *#inputs(): Generator<Uint8Array> {
    const start = this.position;
    const header = this.#read(MAX_HEADER_BYTES);
    if (header.length < 5) throw this.#endsEarly(start);
    const layout = frameLayout(header);
    this.position += layout.headerBytes;
    yield header.subarray(0, layout.headerBytes);
    for (;;) {
      const blockHeader = this.#read(3);
      if (blockHeader.length < 3) throw this.#endsEarly(start);
      const block = blockLayout(blockHeader.readUIntLE(0, 3));
      if (block === undefined) {
        throw new StreamFault(`zstd block at byte ${this.position} of the file is corrupt`, false);
      }
      const bytes = this.#read(3 + block.bytes + (block.last ? layout.checksumBytes : 0));
      const missing = 3 + block.bytes + (block.last ? layout.checksumBytes : 0) - bytes.length;
      if (bytes.length < 3 + block.bytes) throw this.#endsEarly(start);
      this.position += bytes.length;
      this.#blocksRead++;
      yield bytes;
      if (missing > 0) throw this.#endsEarly(start);
      if (block.last) return;
    }
  }

  #endsEarly(start: number): StreamFault {
    this.#ended = true;
    return new StreamFault(`the file ends inside the zstd frame that starts at byte ${start} of it`, true);
  }

  #read(length: number): Buffer {
    const buffer = Buffer.allocUnsafe(length);
    return buffer.subarray(0, readSync(this.#descriptor, buffer, 0, length, this.position));
  }
}

const streamDecoder = new ZSTDDecoder();

/** Up to `length` bytes at a position; fewer at the end of the file alone. Always a fresh buffer. */
async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
