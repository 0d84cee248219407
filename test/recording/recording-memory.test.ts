import { describe, expect, it } from 'vitest';

import { openRecording } from '#nae/recording/open.js';

import { manyFrames, writeRecording } from './recordings.js';
import { temporaryFolder } from './temporary-folder.js';

const folder = temporaryFolder();

/** Read to the end, letting go of every frame; the memory that the frames lay in. */
async function memoryOfReading(path: string): Promise<Set<ArrayBufferLike>> {
  const memory = new Set<ArrayBufferLike>();
  const reader = await openRecording(path);
  for await (const { bytes, release } of reader.frames()) {
    memory.add(bytes.buffer);
    release?.();
  }
  await reader.close();
  return memory;
}

describe('a recording that is read in a loop', () => {
  it.each([
    ['shorter than a block', 3],
    ['of several blocks', 40],
  ])('takes no more memory with further rounds: %s', async (_what, frames) => {
    const path = folder.file('looped.l1f');
    await writeRecording(path, manyFrames(frames, 1000));
    const all = new Set<ArrayBufferLike>();
    const round = async (): Promise<void> => {
      for (const buffer of await memoryOfReading(path)) all.add(buffer);
    };
    // Blocks are read ahead: which of them a round ends with differs.
    for (let number = 0; number < 6; number++) await round();
    const taken = all.size;
    for (let number = 0; number < 12; number++) await round();
    expect(all.size).toBe(taken);
  });
});
