import { crc32 } from 'node:zlib';

/** Beginning of a frame that tells it from others: its place in the run and its first events. */
const FINGERPRINT_BYTES = 4096;

/** CRC-32 of a frame's length and its first 4 KiB: cheap enough for every frame, and no other frame of a run has it. */
export function frameFingerprint(bytes: Uint8Array): number {
  return crc32(bytes.subarray(0, FINGERPRINT_BYTES), crc32(String(bytes.length)));
}
