/**
 * The ledger of a recording as a sink: `OUT.ledger.jsonl` beside `OUT`, one JSON object per entry with the fields of
 * LedgerEntry in proto/l1_event.proto under their names there, bytes in hexadecimal, and `offset` as a string where it
 * is beyond 2^53.
 */
import { z } from 'zod';

import { studentOf } from '../event/accepted-event.js';
import { hex } from './difference.js';
import type { LedgerEntry } from './entry.js';

export function ledgerPath(path: string): string {
  return `${path}.ledger.jsonl`;
}

export function ledgerLine({ frames, paths, chain, previous, atLeastOnce, ...entry }: LedgerEntry): string {
  const line = {
    ...entry,
    at_least_once: atLeastOnce,
    previous: hex(previous),
    frames: frames.map(({ offset, digest, input, ...frame }) => ({
      offset: Number.isSafeInteger(Number(offset)) ? Number(offset) : offset.toString(),
      ...frame,
      digest: hex(digest),
      input: hex(input),
    })),
    chain: hex(chain),
    paths: paths.map(({ modelSha256, student, ...path }) => ({
      ...path,
      model_sha256: modelSha256,
      student_sha256: student?.sha256,
      student_cut: student?.cut,
    })),
  };
  return `${JSON.stringify(line)}\n`;
}

const count = z.number().int();
const bytes = z
  .string()
  .regex(/^([0-9a-f]{2})*$/)
  .transform((text): Uint8Array => Buffer.from(text, 'hex'));

const ENTRY = z.object({
  source: z.string(),
  partition: count,
  format: count,
  sink: z.string(),
  at_least_once: z.boolean(),
  environment: z.string(),
  previous: bytes,
  frames: z.array(
    z.object({
      offset: z.union([count, z.string().regex(/^-?\d+$/)]).transform(BigInt),
      menu: count,
      accepted: count,
      faults: count,
      digest: bytes,
      input: bytes,
    }),
  ),
  chain: bytes,
  paths: z.array(
    z.object({
      menu: count,
      path: z.string(),
      model_sha256: z.string(),
      threshold: z.number(),
      student_sha256: z.string().optional(),
      student_cut: z.number().optional(),
    }),
  ),
});

/** Throws for a line that is no entry. */
export function entryOfLine(line: string): LedgerEntry {
  const { at_least_once: atLeastOnce, paths, ...entry } = ENTRY.parse(JSON.parse(line));
  return {
    ...entry,
    atLeastOnce,
    paths: paths.map(({ model_sha256: modelSha256, student_sha256, student_cut, ...path }) => ({
      ...path,
      modelSha256,
      ...studentOf(student_sha256, student_cut),
    })),
  };
}
