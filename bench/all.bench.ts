/**
 * The benches that have a stored baseline, one after the other, and how their ratios compare with it. About five
 * minutes on two cores; leave the machine alone meanwhile.
 *
 *   npm run bench -- [--compare] [--update] [--tolerance PERCENT]
 *
 * `--compare` ends with exit code 1 where a ratio has become worse than the baseline by more than the tolerance
 * (default: 20 %); `--update` writes bench/baseline.json. Only ratios to something that was measured in the same run are
 * compared: rates are those of a machine.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { fallen, ratiosOf, type BenchResult, type Ratios } from './ratios.js';

/** With what makes them short enough to be run together. */
const BENCHES: readonly (readonly [bench: string, ...options: string[]])[] = [
  ['micro', '--time', '500'],
  ['recording-to-decision'],
  ['kafka-to-kafka'],
  ['exactly-once'],
  ['latency', '--repetitions', '3', '--seconds', '4'],
];
const BASELINE = fileURLToPath(new URL('../../bench/baseline.json', import.meta.url));

interface Baseline extends Pick<BenchResult, 'date' | 'machine' | 'versions'> {
  readonly ratios: Ratios;
}

const { values } = parseArgs({
  options: {
    compare: { type: 'boolean', default: false },
    update: { type: 'boolean', default: false },
    tolerance: { type: 'string', default: '20' },
  },
});
const tolerance = Number(values.tolerance) / 100;
if (!(tolerance >= 0)) throw new Error(`--tolerance: expected per cent, received ${values.tolerance}`);
if (values.compare && !existsSync(BASELINE))
  throw new Error(`${BASELINE}: no baseline to compare with; --update makes one`);

const folder = mkdtempSync(join(tmpdir(), 'nae-trigger-bench-'));
const results: BenchResult[] = [];
try {
  for (const [bench, ...options] of BENCHES) {
    const json = join(folder, `${bench}.json`);
    const script = fileURLToPath(new URL(`${bench}.bench.js`, import.meta.url));
    execFileSync(process.execPath, [script, ...options, '--json', json], { stdio: 'inherit' });
    results.push(JSON.parse(readFileSync(json, 'utf8')) as BenchResult);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const ratios = ratiosOf(results);
const [{ date, machine, versions }] = results as [BenchResult];

const baseline = existsSync(BASELINE) ? (JSON.parse(readFileSync(BASELINE, 'utf8')) as Baseline) : undefined;
console.log('\nratios');
console.table(
  Object.fromEntries(
    Object.entries(ratios).map(([name, { value, better }]) => [
      name,
      { value: value.toPrecision(3), baseline: baseline?.ratios[name]?.value.toPrecision(3) ?? '-', better },
    ]),
  ),
);
if (values.compare) {
  const worse = fallen(ratios, baseline!.ratios, tolerance);
  for (const line of worse) console.error(line);
  console.log(worse.length === 0 ? 'no ratio has fallen' : `${worse.length} ratios have fallen`);
  if (worse.length > 0) process.exitCode = 1;
}
if (values.update) {
  const stored: Baseline = { date, machine, versions, ratios };
  writeFileSync(BASELINE, `${JSON.stringify(stored, undefined, 2)}\n`);
}
