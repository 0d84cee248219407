/** What a fault cost: one row per scenario, printed and, where FAULT_TABLE names a file, added to it. */
import { appendFileSync } from 'node:fs';

import { expect } from 'vitest';

export interface Told {
  readonly fault: string;
  readonly repetitions: number;
  readonly events: number;
  /** Longest time from the fault to the next accepted output, or the end of the restarted run [s]. */
  readonly recoverySeconds?: number | undefined;
  /** Most memory that any process took [MiB]. */
  readonly peakMib?: number;
}

/** Every expected event came out, once, and nothing else. The row is written first, so that it also tells of failures. */
export function expectExact(told: Told, expected: readonly string[], received: readonly string[]): void {
  const { fault, repetitions, events, recoverySeconds: recovery, peakMib } = told;
  const { lost, duplicated, foreign } = compare(expected, received);
  const cells = [
    ...[fault, repetitions, events.toLocaleString('en-US'), lost, duplicated + foreign],
    ...[recovery?.toFixed(1) ?? '-', peakMib?.toFixed(0) ?? '-'],
  ];
  const line = `| ${cells.join(' | ')} |`;
  process.stdout.write(`${line}\n`);
  const file = process.env.FAULT_TABLE;
  if (file !== undefined) appendFileSync(file, `${line}\n`);
  expect({ lost, duplicated, foreign }).toEqual({ lost: 0, duplicated: 0, foreign: 0 });
}

/** How many of `expected` are missing in `received` and how many of `received` are too many, as multisets. */
export function compare(
  expected: readonly string[],
  received: readonly string[],
): { lost: number; duplicated: number; foreign: number } {
  const left = new Map<string, number>();
  for (const key of expected) left.set(key, (left.get(key) ?? 0) + 1);
  let duplicated = 0;
  let foreign = 0;
  for (const key of received) {
    const count = left.get(key);
    if (count === undefined) foreign++;
    else if (count === 0) duplicated++;
    else left.set(key, count - 1);
  }
  return { lost: [...left.values()].reduce((sum, count) => sum + count, 0), duplicated, foreign };
}
