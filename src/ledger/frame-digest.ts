/**
 * The digest of what was decided on a frame. SHA-256 over, in this order, little-endian: position (source, partition,
 * offset), the frame's bytes as received, the paths (model's SHA-256, threshold), the accepted events (index; path and
 * score of each path that accepts), and the dead letters (index + 1, or 0 for the whole frame; reason). Text is preceded
 * by its length in bytes (uint32).
 */
import { createHash } from 'node:crypto';

import type { AcceptedEvent, DeadLetter, SourcePosition } from '../event/accepted-event.js';

/** What decides: a path by its name, with the model and the float32 that it compares with. */
export interface DecidingPath {
  readonly path: string;
  readonly modelSha256: string;
  readonly threshold: number;
}

export interface DecidedFrame {
  readonly position: SourcePosition;
  /** As received; null for a message without value. */
  readonly bytes: Uint8Array | null;
  readonly paths: readonly DecidingPath[];
  /** By ascending index, as the dead letters. */
  readonly accepted: readonly AcceptedEvent[];
  readonly deadLetters: readonly DeadLetter[];
}

/** 32 bytes. */
export function frameDigest({ position, bytes, paths, accepted, deadLetters }: DecidedFrame): Uint8Array {
  const head = new Fields();
  head
    .text(position.source)
    .int(position.partition)
    .long(position.offset)
    .int(bytes?.length ?? 0);
  const tail = new Fields();
  tail.int(paths.length);
  for (const { modelSha256, threshold } of paths) tail.text(modelSha256).float(threshold);
  tail.int(accepted.length);
  for (const { index, paths: decisions } of accepted) {
    tail.int(index).int(decisions.length);
    for (const { path, score } of decisions) tail.int(paths.findIndex((one) => one.path === path)).float(score);
  }
  tail.int(deadLetters.length);
  for (const { index, reason } of deadLetters) tail.int(index === undefined ? 0 : index + 1).text(reason);
  const hash = createHash('sha256').update(head.bytes());
  if (bytes !== null) hash.update(bytes);
  return hash.update(tail.bytes()).digest();
}

/** The chain value after a frame. */
export function chained(chain: Uint8Array, digest: Uint8Array): Uint8Array {
  return createHash('sha256').update(chain).update(digest).digest();
}

class Fields {
  readonly #parts: Buffer[] = [];

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
    const part = Buffer.from(value);
    this.int(part.length);
    this.#parts.push(part);
    return this;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}
