/** `evaluate` against the models package (numpy, scipy, ONNX Runtime): the same figures to the last printed digit. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, expect, it } from 'vitest';

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

it('is what Python computes on the sample, intervals included', async () => {
  const [recording, json, model] = [join(folder, 'sample.h5'), join(folder, 'e.json'), 'nae-events-m'];
  await cli('convert', join(ROOT, 'models', 'recordings', 'sample.l1f.zst'), recording);
  await cli('evaluate', '--model', model, '--background', recording, '--json', json, '--device', 'cpu');
  const script = join(ROOT, 'test', 'fixtures', 'evaluate_recording.py');
  const bundle = join(ROOT, 'models', 'bundles', model);
  const output = execFileSync(join(ROOT, 'models', 'run'), ['python', script, bundle, recording]);
  const here = JSON.parse(readFileSync(json, 'utf8')) as Evaluation;
  const python = JSON.parse(output.toString()) as Evaluation;
  expect(here.signals).toHaveLength(5);
  expect(here.background_events).toBe(350_000);
  expect(python.background_events).toBe(350_000);
  expect(figures(here)).toEqual(figures(python));
}, 600_000);
