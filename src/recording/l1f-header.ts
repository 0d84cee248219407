/**
 * The first message of a native recording: what it is, and how much follows.
 */
import { messageOf, TriggerError } from '../errors.js';
import { l1trigger } from '../event/generated/l1_event.js';
import { bigintToInt64, int64ToBigint } from '../event/frame.js';
import type { RecordingHeader } from './recording.js';

const Wire = l1trigger.v1;

const L1F_MAGIC = 'L1F';
const L1F_VERSION = 1;

/** How much follows the header: frames, and their bytes with their lengths before compression. */
export interface RecordingExtent {
  readonly frames: number;
  readonly bytes: number;
  /** CRC-32 (ISO-HDLC) of those bytes. */
  readonly crc32: number;
}

/** An extent as a file states it: not `complete`, it was never closed by its writer. */
export interface StatedExtent extends RecordingExtent {
  readonly complete: boolean;
}

/** Its length depends on the header alone, not on the extent. */
export function encodeHeader(header: RecordingHeader, extent: StatedExtent): Uint8Array {
  return Wire.RecordingHeader.encode({
    magic: L1F_MAGIC,
    version: L1F_VERSION,
    labelNames: Object.fromEntries(header.labelNames),
    provenance: Object.fromEntries(header.provenance),
    extent: { ...extent, frames: long(extent.frames), bytes: long(extent.bytes) },
  }).finish();
}

/** Decode a header; throws TriggerError INPUT_REFUSED. The extent is undefined in files that state none. */
export function decodeHeader(
  bytes: Uint8Array,
  path: string,
): { header: RecordingHeader; extent: StatedExtent | undefined } {
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
  const { extent } = wire;
  return {
    header: {
      labelNames: new Map(Object.entries(wire.labelNames).map(([label, name]) => [Number(label), name])),
      provenance: new Map(Object.entries(wire.provenance)),
    },
    extent:
      extent == null
        ? undefined
        : {
            complete: extent.complete ?? false,
            frames: number(extent.frames),
            bytes: number(extent.bytes),
            crc32: extent.crc32 ?? 0,
          },
  };
}

type Int64 = NonNullable<l1trigger.v1.RecordingExtent.$Properties['frames']>;

function long(value: number): Int64 {
  return bigintToInt64(BigInt(value));
}

function number(value: Int64 | null | undefined): number {
  if (value == null) return 0;
  return typeof value === 'number' ? value : Number(int64ToBigint(value));
}
