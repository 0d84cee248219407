import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach } from 'vitest';

/** A folder that is fresh for every test of the file, and gone after it. */
export function temporaryFolder(): { file(name: string): string } {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nae-recording-'));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });
  return { file: (name) => join(folder, name) };
}
