/** `evaluate` against the models package (numpy, scipy, ONNX Runtime): the same figures to the last printed digit. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, expect, it } from 'vitest';

import type { Evaluation } from '#nae/evaluate/evaluate.js';

import { cli, ROOT } from '../fixtures/cli.js';

const folder = mkdtempSync(join(tmpdir(), 'nae-evaluation-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Name, counts, AUC and efficiencies with their intervals, with the digits of the table and three more. */
function figures({ signals }: Evaluation): string[] {
  return signals
    .map((signal) =>
      [
        signal.name,
        signal.events,
        signal.auc.toFixed(7),
        signal.auc_error.toFixed(7),
        ...signal.efficiency.flatMap((point) => [
          ...[point.signal, point.low, point.high, point.threshold].map((value) => value.toPrecision(6)),
          point.background_passing,
          point.few_background,
        ]),
      ].join(' '),
    )
    .sort();
}

/** The figures for a recording by both. */
async function both(recording: string): Promise<{ here: Evaluation; python: Evaluation }> {
  const [json, model] = [join(folder, 'e.json'), 'nae-events-m'];
  await cli('evaluate', '--model', model, '--background', recording, '--json', json, '--device', 'cpu');
  const output = python('evaluate_recording.py', join(ROOT, 'models', 'bundles', model), recording);
  return {
    here: JSON.parse(readFileSync(json, 'utf8')) as Evaluation,
    python: JSON.parse(output) as Evaluation,
  };
}

function python(script: string, ...args: string[]): string {
  const path = join(ROOT, 'test', 'fixtures', script);
  return execFileSync(join(ROOT, 'models', 'run'), ['python', path, ...args]).toString();
}

const sample = join(folder, 'sample.h5');
beforeAll(async () => {
  await cli('convert', join(ROOT, 'models', 'recordings', 'sample.l1f.zst'), sample);
}, 300_000);

it('is what Python computes on the sample, intervals included', async () => {
  const { here, python: there } = await both(sample);
  expect(here.signals).toHaveLength(5);
  expect(here.background_events).toBe(350_000);
  expect(there.background_events).toBe(350_000);
  expect(figures(here)).toEqual(figures(there));
}, 600_000);

it('is what Python computes where events share parton events', async () => {
  const clustered = join(folder, 'clustered.h5');
  python('cluster_events.py', sample, clustered, '120000');
  const { here, python: there } = await both(clustered);
  expect(here.signals).toHaveLength(5);
  expect(here.effective_background_events).toBeLessThan(0.35 * here.background_events);
  expect(here.effective_background_events).toBeCloseTo(there.effective_background_events, 6);
  expect(figures(here)).toEqual(figures(there));
  for (const signal of here.signals) expect(signal.effective_events).toBeLessThan(0.5 * signal.events);
}, 600_000);
