import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { loadBundle } from '#nae/model/bundle.js';
import { checkParity } from '#nae/model/parity.js';
import { loadStudent } from '#nae/model/student.js';

import { BUNDLES } from '../pipeline/memory-stream.js';

describe('shipped students', () => {
  it.each(['nae-events-s', 'nae-events-m'])('%s has one of its own, which scores as its trainer did', async (name) => {
    const teacher = await loadBundle(join(BUNDLES, name));
    const { bundle, cut } = await loadStudent(teacher);
    expect((await checkParity(bundle, { kind: 'cpu' })).inputs).toBeGreaterThanOrEqual(256);
    expect(bundle.manifest.flop_per_event).toBeLessThan(teacher.manifest.flop_per_event / 5);
    const { survivors, kept, ...cascade } = bundle.manifest.cascade!;
    expect(Math.fround(cascade.cut)).toBe(cut);
    expect(survivors).toBeLessThanOrEqual(0.01);
    // What the documentation says of them, of the background on which the cut was set.
    for (const { accepted, kept: reached } of kept) expect(reached).toBeGreaterThanOrEqual(0.99 * accepted);
    expect(kept.map(({ target_rate }) => target_rate)).toEqual([1e-3, 1e-4, 1e-5]);
  });
});

describe('a student is refused', () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nae-student-'));
    await cp(join(BUNDLES, 'nae-events-s'), folder, { recursive: true });
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));
  const load = async () => loadStudent(await loadBundle(folder));

  it('that is not there', async () => {
    await rm(join(folder, 'student'), { recursive: true });
    await expect(load()).rejects.toThrow(/has no student: expected one in .*student, which models\/run distil makes/);
  });

  it('of another teacher', async () => {
    await cp(join(BUNDLES, 'nae-events-m', 'student'), join(folder, 'student'), { recursive: true });
    await expect(load()).rejects.toThrow(
      /expected a student of model [0-9a-f]{64}, received one of [0-9a-f]{64}: run models\/run distil again/,
    );
  });

  it('that is none, and whose cut is no float32', async () => {
    const path = join(folder, 'student', 'manifest.json');
    const manifest = JSON.parse(await readFile(path, 'utf8')) as { cascade?: { cut: number } };
    await writeFile(path, JSON.stringify({ ...manifest, cascade: { ...manifest.cascade, cut: 1e300 } }));
    await expect(load()).rejects.toThrow(/expected a float32.*cascade\.cut/);
    delete manifest.cascade;
    await writeFile(path, JSON.stringify(manifest));
    await expect(load()).rejects.toThrow(/expected the manifest of a student/);
  });
});
