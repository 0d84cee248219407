import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { loadBundle } from '#nae/model/bundle.js';
import { checkParity } from '#nae/model/parity.js';
import { ModelSession } from '#nae/model/session.js';

import { BUNDLES } from '../pipeline/memory-stream.js';

const CPU = { kind: 'cpu' } as const;
const SHIPPED = ['ae-events-s', 'ae-events-m', 'nae-events-s', 'nae-events-m'];

describe('shipped bundles', () => {
  it.each(SHIPPED)('%s holds together and scores as its trainer did', async (name) => {
    const bundle = await loadBundle(join(BUNDLES, name));
    expect(bundle.manifest.name).toBe(name);
    const report = await checkParity(bundle, CPU);
    expect(report.inputs).toBeGreaterThanOrEqual(256);
    expect(bundle.calibrations.map(({ target_rate }) => target_rate)).toEqual([1e-2, 1e-3, 1e-4, 1e-5]);
    for (const { threshold } of bundle.calibrations) expect(Math.fround(threshold)).toBe(threshold);
  });

  it('have the two sizes', async () => {
    for (const name of SHIPPED) {
      const { flop_per_event: flop } = (await loadBundle(join(BUNDLES, name))).manifest;
      const wanted = name.endsWith('-s') ? 10_000 : 66_000;
      expect(Math.abs(flop / wanted - 1)).toBeLessThan(0.15);
    }
  });
});

describe('a bundle that does not hold together is refused', () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nae-bundle-'));
    await cp(join(BUNDLES, 'ae-events-s'), folder, { recursive: true });
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const edit = async (file: string, change: (content: Record<string, unknown>) => void): Promise<void> => {
    const content = JSON.parse(await readFile(join(folder, file), 'utf8')) as Record<string, unknown>;
    change(content);
    await writeFile(join(folder, file), JSON.stringify(content));
  };

  it('a model with another hash', async () => {
    const model = await readFile(join(folder, 'model.onnx'));
    model[100] = model[100]! ^ 1;
    await writeFile(join(folder, 'model.onnx'), model);
    await expect(loadBundle(folder)).rejects.toThrow(
      /model\.onnx: expected sha256 [0-9a-f]{64} .*received [0-9a-f]{64}/,
    );
  });

  it.each([
    ['input_layout', 'channels-last', /input_layout/],
    ['format', 2, /expected 1.*format/],
    ['sha256', 'abc', /64 hexadecimal digits/],
  ])('a manifest whose %s is %j', async (key, value, message) => {
    await edit('manifest.json', (manifest) => (manifest[key] = value));
    await expect(loadBundle(folder)).rejects.toThrow(message);
  });

  it('a calibration of another model', async () => {
    await edit('calibration.json', (calibration) => (calibration.model_sha256 = '0'.repeat(64)));
    await expect(loadBundle(folder)).rejects.toThrow(/calibration\.json: made for model 0{64}/);
  });

  it('a parity set with scores that are not the model’s', async () => {
    let at = -1;
    await edit('parity.json', (parity) => {
      const scores = parity.scores as number[];
      at = scores.indexOf(Math.max(...scores));
      scores[at]! *= 1.01;
    });
    await expect(checkParity(await loadBundle(folder), CPU)).rejects.toThrow(
      new RegExp(`input ${at}: expected score .* received`),
    );
  });

  it('a folder without a manifest', async () => {
    await expect(loadBundle(join(folder, 'nothing'))).rejects.toMatchObject({ code: 'INPUT_REFUSED', exitCode: 2 });
  });

  it('a model that takes another input than its layout says', async () => {
    const { model } = await loadBundle(folder);
    await expect(ModelSession.create(model, 'phys-f32', 64, CPU)).rejects.toThrow(
      /expected input events float32\[N,57\] .*received inputs events int16/,
    );
  });

  it('bytes that are no model', async () => {
    await expect(ModelSession.create(new Uint8Array(64), 'phys-f32', 64, CPU)).rejects.toMatchObject({
      code: 'SCORING_FAILED',
    });
  });
});
