/**
 * How far an unfinished recording sink is: which frames of the source are finished, and how long each of its files was
 * then. Kept beside the output, replaced atomically.
 */
import { open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';

import { messageOf, TriggerError } from '../errors.js';

const count = z.number().int().nonnegative();

const CHECKPOINT = z.strictObject({
  format: z.literal(1),
  /** Everything is written and sealed; only the renaming may be left. */
  complete: z.boolean(),
  /** Of the recording's header: source, models and thresholds. */
  provenance: z.record(z.string(), z.string()),
  positions: z.array(
    z.strictObject({
      source: z.string(),
      partition: count,
      /** First offset that is not finished. */
      next: z.string().regex(/^\d+$/),
      /** Of the last finished frame (recording/frame-fingerprint.ts): that the source is still the same. */
      last_frame_fingerprint: count,
      /** End of the partition's chain in the ledger; empty where there is none. */
      chain: z
        .string()
        .regex(/^[0-9a-f]*$/)
        .default(''),
    }),
  ),
  recording: z.strictObject({ file_bytes: count, frames: count, bytes: count, crc32: count }),
  accepted_bytes: count,
  dead_letter_bytes: count,
  /** Undefined where there is no ledger. */
  ledger_bytes: count.optional(),
});

export type Checkpoint = Readonly<z.infer<typeof CHECKPOINT>>;

export function checkpointPath(path: string): string {
  return `${path}.checkpoint.json`;
}

/** The checkpoint beside an output, or undefined; throws TriggerError INPUT_REFUSED for a file that is none. */
export async function readCheckpoint(path: string): Promise<Checkpoint | undefined> {
  const file = checkpointPath(path);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new TriggerError('INPUT_REFUSED', `${file}: cannot be read: ${messageOf(error)}`, { cause: error });
  }
  try {
    return CHECKPOINT.parse(JSON.parse(text));
  } catch (error) {
    throw new TriggerError('INPUT_REFUSED', `${file}: not a checkpoint: ${messageOf(error)}`, { cause: error });
  }
}

/** Replace the checkpoint: after a crash or a power cut either the old one is there or the new one. */
export async function writeCheckpoint(path: string, checkpoint: Checkpoint): Promise<void> {
  const file = checkpointPath(path);
  const next = await open(`${file}.new`, 'w');
  try {
    await next.writeFile(`${JSON.stringify(checkpoint, null, 2)}\n`);
    await next.sync();
  } finally {
    await next.close();
  }
  await rename(`${file}.new`, file);
  await syncFolder(path);
}

export async function removeCheckpoint(path: string): Promise<void> {
  await rm(checkpointPath(path), { force: true });
  await rm(`${checkpointPath(path)}.new`, { force: true });
}

/** Bring the names in the folder of a file to the disk. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
