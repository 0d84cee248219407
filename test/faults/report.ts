/** What a fault cost: one row per scenario, printed and, where FAULT_TABLE names a file, written at the end. */
import { appendFileSync } from 'node:fs';

export interface FaultRow {
  readonly fault: string;
  readonly repetitions: number;
  readonly events: number;
  readonly lost: number;
  readonly duplicated: number;
  /** Longest time from the fault to the next accepted output, or the end of the restarted run [s]. */
  readonly recoverySeconds: number | undefined;
}

export function reportFault(row: FaultRow): void {
  const { fault, repetitions, events, lost, duplicated, recoverySeconds: recovery } = row;
  const cells = [fault, repetitions, events.toLocaleString('en-US'), lost, duplicated, recovery?.toFixed(1) ?? '-'];
  const line = `| ${cells.join(' | ')} |`;
  process.stdout.write(`${line}\n`);
  const file = process.env.FAULT_TABLE;
  if (file !== undefined) appendFileSync(file, `${line}\n`);
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
