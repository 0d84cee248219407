/**
 * The framing of native recordings: messages one after another, each behind its length as a protobuf varint.
 */
import { messageOf, TriggerError } from '../errors.js';
import { Block, BlockPool } from '../memory/block-pool.js';

/**
 * Longest message that is believed. Well above the largest frame the stream takes, so that a frame which is only
 * too large becomes a frame fault, while a broken length does not make the reader collect gigabytes.
 */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

/** Four bytes of varint reach 2^28 - 1; a fifth is more than any length allowed. */
const MAX_VARINT_BYTES = 4;

export interface DelimitedMessage {
  /** Where the message's length begins in the (decompressed) stream. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** Give the memory back for reuse; it must not be called twice. Bytes that are never released stay as they are. */
  readonly release: () => void;
}

/** The input ends or breaks off below the framing; `truncated` says which. */
export class StreamFault extends Error {
  readonly truncated: boolean;

  constructor(message: string, truncated: boolean, cause?: unknown) {
    super(message, { cause });
    this.truncated = truncated;
  }
}

export function encodeLength(length: number): Uint8Array {
  const bytes: number[] = [];
  let rest = length;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

/**
 * Cut a stream into its messages. Messages are views of the chunks where they lie in one; the few that begin in one
 * chunk and end in another are put together in a block of `pool`. A chunk that is a {@link Block} is let go of when it
 * is read to its end, and may be reused once its messages are released; other chunks must not be reused.
 *
 * Throws TriggerError RECORDING_TRUNCATED, after every whole message has been yielded, where the stream ends inside
 * a message, and INPUT_REFUSED where a length is not one or the stream cannot be read; message 0 is the header, message n + 1 is frame n.
 */
export async function* readDelimited(
  chunks: AsyncIterable<Uint8Array | Block>,
  path: string,
  pool = new BlockPool(1),
): AsyncGenerator<DelimitedMessage> {
  /** The beginning of a message whose end is in a later chunk. */
  let begun: Block | undefined;
  let held = 0;
  let needed = 1;
  let offset = 0;
  let number = 0;
  const lengthAt = (bytes: Uint8Array, at: number): { length: number; start: number } | undefined => {
    const prefix = readLength(bytes, at);
    if (prefix === undefined || prefix.length <= MAX_MESSAGE_BYTES) return prefix;
    throw new TriggerError(
      'INPUT_REFUSED',
      `${path}: ${placeOf(number, offset)}: expected a length of at most ${MAX_MESSAGE_BYTES} bytes, ` +
        `received ${prefix.length === Infinity ? 'a longer one' : prefix.length}`,
    );
  };
  try {
    for await (const chunk of chunks) {
      const block = chunk instanceof Block ? chunk : new Block(chunk);
      const { bytes } = block;
      let at = 0;
      while (held > 0 && at < bytes.length) {
        begun = enlarged(begun, held, needed, pool);
        const more = Math.min(needed - held, bytes.length - at);
        begun.bytes.set(bytes.subarray(at, at + more), held);
        held += more;
        at += more;
        if (held < needed) break;
        const prefix = lengthAt(begun.bytes.subarray(0, held), 0);
        needed = prefix === undefined ? held + 1 : prefix.start + prefix.length;
        if (prefix === undefined || held < needed) continue;
        yield messageIn(begun, prefix.start, needed, offset);
        begun.release();
        begun = undefined;
        offset += needed;
        number++;
        held = 0;
        needed = 1;
      }
      while (at < bytes.length) {
        const prefix = lengthAt(bytes, at);
        const end = prefix === undefined ? bytes.length + 1 : prefix.start + prefix.length;
        if (prefix === undefined || end > bytes.length) {
          needed = end - at;
          held = bytes.length - at;
          begun = pool.take(needed);
          begun.bytes.set(bytes.subarray(at));
          break;
        }
        yield messageIn(block, prefix.start, end, offset);
        offset += end - at;
        at = end;
        number++;
      }
      block.release();
    }
  } catch (fault) {
    if (fault instanceof TriggerError) throw fault;
    throw new TriggerError(
      fault instanceof StreamFault && fault.truncated ? 'RECORDING_TRUNCATED' : 'INPUT_REFUSED',
      `${path}: ${placeOf(number, offset)}: ${messageOf(fault)}`,
      { cause: fault },
    );
  }
  if (held > 0) {
    throw new TriggerError(
      'RECORDING_TRUNCATED',
      `${path}: ${placeOf(number, offset)}: expected ${needed} bytes with its length, received ${held} before the end of the file`,
    );
  }
}

function messageIn(block: Block, start: number, end: number, offset: number): DelimitedMessage {
  block.hold();
  return {
    offset,
    bytes: block.bytes.subarray(start, end),
    release: () => {
      block.release();
    },
  };
}

/** A block for at least `needed` bytes with the `held` ones of another. */
function enlarged(block: Block | undefined, held: number, needed: number, pool: BlockPool): Block {
  if (block !== undefined && block.bytes.length >= needed) return block;
  const larger = pool.take(needed);
  if (block !== undefined) larger.bytes.set(block.bytes.subarray(0, held));
  block?.release();
  return larger;
}

function placeOf(message: number, offset: number): string {
  return message === 0 ? 'header at byte 0' : `frame ${message - 1} at byte ${offset}`;
}

/** The length at `at` and where the message behind it starts; undefined where more bytes are needed. */
function readLength(block: Uint8Array, at: number): { length: number; start: number } | undefined {
  let length = 0;
  for (let index = 0; index < MAX_VARINT_BYTES; index++) {
    const byte = block[at + index];
    if (byte === undefined) return undefined;
    length |= (byte & 0x7f) << (7 * index);
    if (byte < 0x80) return { length, start: at + index + 1 };
  }
  return { length: Infinity, start: at };
}
