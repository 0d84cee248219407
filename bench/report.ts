/** What every benchmark says of itself: settings from the command line, machine and versions, a table, a JSON file. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { parseArgs } from 'node:util';

/** Options with their defaults: numbers, all of them whole and positive. */
type Numbers = Readonly<Record<string, number>>;

export interface BenchArguments<N extends Numbers> {
  readonly numbers: N;
  /** Where to write the results as JSON. */
  readonly json: string | undefined;
}

/** Read `--name N` for every default given, and `--json FILE`. Throws on anything else. */
export function benchArguments<const N extends Numbers>(defaults: N): BenchArguments<{ [K in keyof N]: number }> {
  const names = [...Object.keys(defaults), 'json'];
  const { values } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: 'string' }])) });
  const numbers = Object.entries(defaults).map(([name, byDefault]) => {
    const number = Number(values[name] ?? byDefault);
    if (!Number.isSafeInteger(number) || number < 1) {
      throw new Error(`--${name}: expected a whole number from 1, received ${String(values[name])}`);
    }
    return [name, number];
  });
  return {
    numbers: Object.fromEntries(numbers) as { [K in keyof N]: number },
    json: typeof values.json === 'string' ? values.json : undefined,
  };
}

function versionOf(name: string): string {
  const require = createRequire(import.meta.url);
  const { version } = JSON.parse(readFileSync(require.resolve(`${name}/package.json`), 'utf8')) as { version: string };
  return version;
}

/** Print a table, and write it with where it was measured to the JSON file if there is one. */
export function report(
  name: string,
  { numbers, json }: BenchArguments<Numbers>,
  rows: readonly Readonly<Record<string, string | number>>[],
): void {
  console.log(`\n${name}`);
  console.table(rows.map((row) => Object.fromEntries(Object.entries(row).map(([key, value]) => [key, shown(value)]))));
  if (json === undefined) return;
  const document = {
    benchmark: name,
    date: new Date().toISOString(),
    machine: {
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: availableParallelism(),
      memory_bytes: totalmem(),
      load_average: loadavg(),
    },
    versions: {
      node: process.versions.node,
      v8: process.versions.v8,
      'onnxruntime-node': versionOf('onnxruntime-node'),
      kafkajs: versionOf('kafkajs'),
    },
    settings: numbers,
    results: rows,
  };
  writeFileSync(json, `${JSON.stringify(document, undefined, 2)}\n`);
}

function shown(value: string | number): string {
  if (typeof value === 'string') return value;
  return value >= 1000 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(3)));
}
