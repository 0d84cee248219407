/** Wall-clock time [ms since the epoch] with the resolution of the monotonic clock. */
export function unixMs(): number {
  return performance.timeOrigin + performance.now();
}

/** The same as an integer number of nanoseconds, as frames carry it. */
export function unixNs(): bigint {
  return BigInt(Math.round(unixMs() * 1000)) * 1000n;
}
