/**
 * How results reach the user: text on stdout, JSON in a file (or on stdout with `--json -`).
 */
import { writeFile } from 'node:fs/promises';

import { messageOf, TriggerError } from '../errors.js';
import { redacted } from '../telemetry/redaction.js';

/** Print `text`, or the JSON in its place where it was asked for on stdout. */
export async function report(json: string | undefined, result: object, text: string): Promise<void> {
  const written = redacted(`${JSON.stringify(result, null, 2)}\n`);
  if (json === '-') {
    process.stdout.write(written);
    return;
  }
  if (json !== undefined) {
    try {
      await writeFile(json, written);
    } catch (error) {
      throw new TriggerError('SINK_FAILED', `--json ${json}: ${messageOf(error)}`, { cause: error });
    }
  }
  process.stdout.write(`${text.trimEnd()}\n`);
}

/** A table with a header row; columns of numbers are right-aligned. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** A count with thousands separators. */
export function grouped(count: number): string {
  return count.toLocaleString('en-US');
}

/** A duration in the unit that suits it. */
export function duration(seconds: number): string {
  if (seconds < 1e-3) return `${(seconds * 1e6).toPrecision(3)} us`;
  if (seconds < 1) return `${(seconds * 1e3).toPrecision(3)} ms`;
  return `${seconds.toPrecision(3)} s`;
}
