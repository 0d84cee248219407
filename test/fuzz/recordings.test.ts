/**
 * Recordings from nobody one trusts: `.l1f`, `.l1f.zst` and HDF5 with damaged headers, lengths, blocks and trees. Each
 * is read, or refused with a TriggerError; `npm run test:fuzz` takes many more than the unit tests.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, expect, it } from 'vitest';

import { TriggerError } from '#nae/errors.js';
import { decodeFrame } from '#nae/event/frame.js';
import { openRecording } from '#nae/recording/open.js';
import { openCompressor } from '#nae/recording/zstd.js';

import { framesOf, plausibleCodes } from '../pipeline/events.js';
import { writeRecording } from '../recording/recordings.js';
import { damagedBytes } from './damage.js';
import { Random } from './mutated-frames.js';

const FILES = Number(process.env.FUZZ_FILES ?? 200);
const SEED = Number(process.env.FUZZ_SEED ?? 1);
/** A damaged count may promise any number of events that read as nothing: enough of them. */
const MAX_FRAMES = 20;
const MAX_MS = 10_000;
const MAX_GROWTH_BYTES = 512 * 1024 * 1024;

const folder = mkdtempSync(join(tmpdir(), 'nae-fuzz-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

let l1f: Uint8Array;
let zst: Uint8Array;
let compress: (bytes: Uint8Array) => Promise<Uint8Array>;
const hdf5 = readFileSync(fileURLToPath(new URL('../fixtures/adc2021-sample.h5', import.meta.url)));
beforeAll(async () => {
  const frames = framesOf(plausibleCodes(300), [100, 1, 99, 100]);
  for (const name of ['sound.l1f', 'sound.l1f.zst']) await writeRecording(join(folder, name), frames);
  l1f = readFileSync(join(folder, 'sound.l1f'));
  zst = readFileSync(join(folder, 'sound.l1f.zst'));
  compress = await openCompressor();
});

/** What becomes of a file: `read`, or the code that it was refused with. Anything else is thrown. */
async function outcomeOf(path: string): Promise<string> {
  try {
    const reader = await openRecording(path, { eventsPerFrame: 64 });
    try {
      let frames = 0;
      for await (const { bytes } of reader.frames()) {
        decodeFrame(bytes);
        if (++frames === MAX_FRAMES) break;
      }
    } finally {
      await reader.close();
    }
    return 'read';
  } catch (error) {
    if (!(error instanceof TriggerError)) throw error;
    expect(error.message).toContain(path);
    return error.code;
  }
}

it.each<[string, number, (random: Random) => Uint8Array | Promise<Uint8Array>]>([
  ['damaged.l1f', FILES, (random) => damagedBytes(l1f, random, 200)],
  ['damaged.l1f.zst', FILES, (random) => damagedBytes(zst, random, 200)],
  // damaged before it was compressed: the container is sound
  ['inside.l1f.zst', FILES, (random) => compress(damagedBytes(l1f, random, 200))],
  ['damaged.h5', FILES, (random) => damagedBytes(hdf5, random, 4096)],
])('%s: each is read or refused (%i)', async (name, files, make) => {
  const random = new Random(SEED);
  const path = join(folder, name);
  const classes = new Map<string, number>();
  let slowestMs = 0;
  const heldAtFirst = process.memoryUsage.rss();
  for (let number = 0; number < files; number++) {
    const bytes = await make(random);
    writeFileSync(path, bytes);
    const began = performance.now();
    let outcome: string;
    try {
      outcome = await outcomeOf(path);
    } catch (error) {
      const kept = join(tmpdir(), `nae-fuzz-${SEED}-${number}-${name}`);
      writeFileSync(kept, bytes);
      throw new Error(`file ${number} (kept as ${kept}) is neither read nor refused`, { cause: error });
    }
    slowestMs = Math.max(slowestMs, performance.now() - began);
    classes.set(outcome, (classes.get(outcome) ?? 0) + 1);
  }
  const growth = process.memoryUsage.rss() - heldAtFirst;
  console.log(
    JSON.stringify({
      name,
      files,
      slowestMs: Math.round(slowestMs),
      growthMiB: growth >> 20,
      ...Object.fromEntries(classes),
    }),
  );
  expect(slowestMs).toBeLessThan(MAX_MS);
  expect(growth).toBeLessThan(MAX_GROWTH_BYTES);
  // The damage reaches further than the first check, and is noticed.
  expect(classes.get('read') ?? 0).toBeGreaterThan(0);
  expect(files - (classes.get('read') ?? 0)).toBeGreaterThan(0);
});
