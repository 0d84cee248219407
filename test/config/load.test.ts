import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, describe, expect, it } from 'vitest';

import { loadSettings } from '#nae/config/load.js';
import { flagName, OPTIONS, type OptionName } from '#nae/config/options.js';

const folder = mkdtempSync(join(tmpdir(), 'nae-config-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const file = (content: string): string => {
  const path = join(folder, 'config.yaml');
  writeFileSync(path, content);
  return path;
};

describe('settings', () => {
  it('come from the command line over the file over the defaults', () => {
    const config = file('workers: 3\ndevice: cpu\nmodel: [a, b]\n');
    const names = ['workers', 'device', 'model', 'batchEvents', 'config'] as const;
    expect(loadSettings(names, { workers: '5', config })).toMatchObject({
      workers: 5,
      device: 'cpu',
      model: ['a', 'b'],
      batchEvents: 16_384,
    });
  });

  it('read the same values from words and from YAML', () => {
    const names = ['targetRate', 'stopAtEnd', 'brokers', 'threshold', 'config'] as const;
    const fromWords = loadSettings(names, {
      targetRate: '1e-5',
      stopAtEnd: true,
      brokers: 'a:1,b:2',
      threshold: ['0.5'],
    });
    const config = file('target-rate: 1e-5\nstop-at-end: true\nbrokers: [a:1, b:2]\nthreshold: 0.5\n');
    expect({ ...loadSettings(names, { config }), config: undefined }).toEqual({ ...fromWords, config: undefined });
  });

  it.each([
    [{ workers: '0' }, /--workers: .*received "0"/],
    [{ workers: 'many' }, /--workers: .*received "many"/],
    [{ device: 'tpu' }, /--device: expected cpu, auto, cuda or cuda:N, received "tpu"/],
    [{ inferenceRows: '100' }, /--inference-rows: .*64.*received "100"/],
    [{}, /--source: is required/],
  ])('refuse %j', (given, message) => {
    const names = ['workers', 'device', 'inferenceRows', 'source'] as const;
    expect(() => loadSettings(names, { source: undefined, ...given })).toThrow(message);
  });

  it('refuse unknown keys of a file, with those there are', () => {
    const config = file('worker: 3\n');
    expect(() => loadSettings(['workers', 'config'], { config })).toThrow(
      /unknown option worker; expected one of workers/,
    );
  });

  it('name the file where a value in it is wrong', () => {
    const config = file('workers: none\n');
    expect(() => loadSettings(['workers', 'config'], { config })).toThrow(/config\.yaml: workers: .*received "none"/);
  });

  it('refuse a file that is none', () => {
    expect(() => loadSettings(['config'], { config: join(folder, 'no.yaml') })).toThrow(/--config .*no\.yaml/);
    expect(() => loadSettings(['config'], { config: file('- a\n- b\n') })).toThrow(/expected a mapping/);
  });

  it('have a flag and a help text each', () => {
    for (const [name, spec] of Object.entries(OPTIONS)) {
      expect(flagName(name as OptionName)).toMatch(/^[a-z]+(-[a-z]+)*$/);
      expect(spec.help).not.toBe('');
    }
  });
});
