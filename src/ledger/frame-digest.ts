/**
 * The digest of what was decided on a frame, in two levels: a fast checksum of the frame's bytes, and SHA-256 over, in
 * this order, little-endian: position (source, partition, offset), that checksum, the paths (model's SHA-256,
 * threshold; in a cascade `MODEL after STUDENT`, threshold, cut), the accepted events (index; path and score of each path that accepts), and the dead letters (index + 1, or
 * 0 for the whole frame; reason). Text and checksum are preceded by their length in bytes (uint32).
 */
import { createCipheriv, createHash } from 'node:crypto';

import type { AcceptedEvent, DeadLetter, DecidingStudent, SourcePosition } from '../event/accepted-event.js';

/** What decides: a path by its name, with the model and the float32 that it compares with. */
export interface DecidingPath {
  readonly path: string;
  readonly modelSha256: string;
  readonly threshold: number;
  readonly student?: DecidingStudent;
}

export interface DecidedFrame {
  readonly position: SourcePosition;
  /** {@link inputChecksum} of the frame. */
  readonly input: Uint8Array;
  readonly paths: readonly DecidingPath[];
  /** By ascending index, as the dead letters. */
  readonly accepted: readonly AcceptedEvent[];
  readonly deadLetters: readonly DeadLetter[];
}

/** Public, so that anybody can check: the first 16 bytes of SHA-256("l1trigger.v1.LedgerEntry"). */
const CHECKSUM_KEY = createHash('sha256').update('l1trigger.v1.LedgerEntry').digest().subarray(0, 16);
const CHECKSUM_NONCE = Buffer.alloc(12);

/**
 * Checksum of a frame as received: 16 bytes, or none for a message without value. It is the tag of AES-128-GCM over the
 * bytes as additional data, with a fixed public key and nonce (GMAC, NIST SP 800-38D), for its speed: a polynomial of
 * 128 bits, by carry-less multiplication. Two frames that differ by accident share it with a probability of about 2^-107
 * (length in blocks over 2^128, for 16 MiB); whoever wants to can make two that do. It finds faults, not forgeries.
 */
export function inputChecksum(bytes: Uint8Array | null): Uint8Array {
  if (bytes === null) return new Uint8Array(0);
  const cipher = createCipheriv('aes-128-gcm', CHECKSUM_KEY, CHECKSUM_NONCE);
  cipher.setAAD(bytes);
  cipher.final();
  return cipher.getAuthTag();
}

/** 32 bytes. */
export function frameDigest({ position, input, paths, accepted, deadLetters }: DecidedFrame): Uint8Array {
  const fields = new Fields();
  fields.text(position.source).int(position.partition).long(position.offset).block(input).int(paths.length);
  for (const { modelSha256, threshold, student } of paths) {
    if (student === undefined) fields.text(modelSha256).float(threshold);
    else fields.text(`${modelSha256} after ${student.sha256}`).float(threshold).float(student.cut);
  }
  fields.int(accepted.length);
  for (const { index, paths: decisions } of accepted) {
    fields.int(index).int(decisions.length);
    for (const { path, score } of decisions) fields.int(paths.findIndex((one) => one.path === path)).float(score);
  }
  fields.int(deadLetters.length);
  for (const { index, reason } of deadLetters) fields.int(index === undefined ? 0 : index + 1).text(reason);
  return createHash('sha256').update(fields.bytes()).digest();
}

/** The chain value after a frame. */
export function chained(chain: Uint8Array, digest: Uint8Array): Uint8Array {
  return createHash('sha256').update(chain).update(digest).digest();
}

class Fields {
  readonly #parts: Uint8Array[] = [];

  int(value: number): this {
    const part = Buffer.alloc(4);
    part.writeInt32LE(value | 0);
    this.#parts.push(part);
    return this;
  }

  long(value: bigint): this {
    const part = Buffer.alloc(8);
    part.writeBigInt64LE(value);
    this.#parts.push(part);
    return this;
  }

  float(value: number): this {
    const part = Buffer.alloc(4);
    part.writeFloatLE(value);
    this.#parts.push(part);
    return this;
  }

  text(value: string): this {
    return this.block(Buffer.from(value));
  }

  block(bytes: Uint8Array): this {
    this.int(bytes.length);
    this.#parts.push(bytes);
    return this;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}
