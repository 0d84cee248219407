/** What bootstrap replicas say: their spread and their central 95 %. */
import type { Interval } from '../decide/intervals.js';

/** The replicas of a quantity; its value in the sample itself stands behind them. */
export type Replicas = Float64Array;

export function nominal(values: Replicas): number {
  return values[values.length - 1]!;
}

/** Standard deviation over the replicas. */
export function spread(values: Replicas): number {
  const replicas = values.length - 1;
  let mean = 0;
  for (let replica = 0; replica < replicas; replica++) mean += values[replica]! / replicas;
  let squares = 0;
  for (let replica = 0; replica < replicas; replica++) squares += (values[replica]! - mean) ** 2;
  return Math.sqrt(squares / (replicas - 1));
}

/**
 * Percentile interval: the replicas of ranks k from either end, k = 2.5 % of (replicas + 1) (Efron and Tibshirani, An
 * Introduction to the Bootstrap, section 13.3). A replica that is not a number (0 / 0) is taken for the worst at each end.
 */
export function centralInterval(values: Replicas): Interval {
  const replicas = values.subarray(0, -1);
  const rank = Math.max(1, Math.floor(0.025 * (replicas.length + 1)));
  const sorted = (nan: number): Float64Array => replicas.map((value) => (Number.isNaN(value) ? nan : value)).sort();
  return { low: sorted(-Infinity)[rank - 1]!, high: sorted(Infinity)[replicas.length - rank]! };
}
