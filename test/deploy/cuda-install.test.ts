import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { temporaryFolder } from '../recording/temporary-folder.js';

const SCRIPT = fileURLToPath(new URL('../../deploy/cuda/install.mjs', import.meta.url));
const folder = temporaryFolder();

function check(providers: string): { status: number | null; stderr: string } {
  return spawnSync(process.execPath, [SCRIPT, '--check', '--providers', providers], { encoding: 'utf8' });
}

describe.runIf(process.platform === 'linux' && process.arch === 'x64')('the check of the CUDA provider', () => {
  it('names a provider that is not there, and one that is not the pinned build', () => {
    const path = folder.file('libonnxruntime_providers_shared.so');
    const providers = path.slice(0, path.lastIndexOf('/'));
    const absent = check(providers);
    expect(absent.status).toBe(1);
    expect(absent.stderr).toContain(`${path}: not there`);
    writeFileSync(path, 'another build');
    const other = check(providers);
    expect(other.status).toBe(1);
    // sha256sum of the text above
    expect(other.stderr).toMatch(/expected sha256 086ec1d5[0-9a-f]{56}, received [0-9a-f]{64}/);
  });
});
