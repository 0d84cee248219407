/** Time and CPU time of a piece of work, and what repetitions come to. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export interface Timed {
  /** Wall-clock time [s]. */
  readonly seconds: number;
  /** User and system time of this process, all threads [s]. */
  readonly cpuSeconds: number;
}

export async function timed(work: () => Promise<unknown>): Promise<Timed> {
  const elapsed = timer();
  await work();
  return elapsed();
}

/** What has gone by since now, whenever it is asked. */
export function timer(): () => Timed {
  const cpu = process.cpuUsage();
  const start = performance.now();
  return () => {
    const seconds = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    return { seconds, cpuSeconds: (user + system) / 1e6 };
  };
}

/** How often a measurement is repeated: `most` times, but after `limitSeconds` no more than `least` times. */
export interface Repetitions {
  readonly least: number;
  readonly most: number;
  readonly limitSeconds: number;
}

export async function repeated<T>({ least, most, limitSeconds }: Repetitions, measure: () => Promise<T>): Promise<T[]> {
  const start = performance.now();
  const results: T[] = [];
  while (results.length < most) {
    if (results.length >= least && performance.now() - start > limitSeconds * 1000) break;
    results.push(await measure());
  }
  return results;
}

/** Median, smallest and largest of some runs. */
export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

export function spread(values: readonly number[]): Spread {
  return { median: median(values), low: Math.min(...values), high: Math.max(...values) };
}
