/**
 * The framing of native recordings: messages one after another, each behind its length as a protobuf varint.
 */
import { messageOf, TriggerError } from '../errors.js';

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
 * Cut a stream into its messages. Messages are views of the chunks where they lie in one, so chunks must not be
 * reused.
 *
 * Throws TriggerError RECORDING_TRUNCATED, after every whole message has been yielded, where the stream ends inside
 * a message, and INPUT_REFUSED where a length is not one or the stream cannot be read; message 0 is the header, message n + 1 is frame n.
 */
export async function* readDelimited(
  chunks: AsyncIterable<Uint8Array>,
  path: string,
): AsyncGenerator<DelimitedMessage> {
  let parts: Uint8Array[] = [];
  let held = 0;
  let needed = 1;
  let offset = 0;
  let number = 0;
  try {
    for await (const chunk of chunks) {
      parts.push(chunk);
      held += chunk.length;
      if (held < needed) continue;
      const block = parts.length === 1 ? chunk : Buffer.concat(parts, held);
      let at = 0;
      for (;;) {
        const prefix = readLength(block, at);
        if (prefix === undefined) {
          needed = block.length - at + 1;
          break;
        }
        if (prefix.length > MAX_MESSAGE_BYTES) {
          throw new TriggerError(
            'INPUT_REFUSED',
            `${path}: ${placeOf(number, offset)}: expected a length of at most ${MAX_MESSAGE_BYTES} bytes, ` +
              `received ${prefix.length === Infinity ? 'a longer one' : prefix.length}`,
          );
        }
        const end = prefix.start + prefix.length;
        if (end > block.length) {
          needed = end - at;
          break;
        }
        yield { offset, bytes: block.subarray(prefix.start, end) };
        offset += end - at;
        at = end;
        number++;
      }
      held = block.length - at;
      parts = held === 0 ? [] : [block.subarray(at)];
      if (held === 0) needed = 1;
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
