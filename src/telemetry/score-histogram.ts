/**
 * The score histogram of each path as a Prometheus histogram. The stream counts scores in fine bins; a page view
 * sums them up into one bucket per octave, so that nothing is done per event here.
 */
import type { Registry } from 'prom-client';

/** Buckets end at powers of two: 2^-20 (about 1e-6) to 2^20. */
const FIRST_OCTAVE = -20;
const LAST_OCTAVE = 20;
const NAME = 'trigger_score';

/**
 * @param paths - counts per bin of each path; read anew at every view
 * @param edge - upper edge of a bin, as a score
 */
export function registerScoreHistogram(
  registry: Registry,
  paths: ReadonlyMap<string, Float64Array>,
  edge: (bin: number) => number,
): void {
  registry.registerMetric({
    name: NAME,
    help: 'Scores of decided events',
    type: 'histogram',
    aggregator: 'sum',
    get: () => Promise.resolve(snapshot(paths, edge)),
    // prom-client registers anything with this shape; its typings only know its own classes.
  } as never);
}

function snapshot(paths: ReadonlyMap<string, Float64Array>, edge: (bin: number) => number): object {
  const values: object[] = [];
  for (const [path, bins] of paths) {
    let bin = 0;
    let cumulative = 0;
    let sum = 0;
    for (let octave = FIRST_OCTAVE; octave <= LAST_OCTAVE; octave++) {
      const limit = 2 ** octave;
      for (; bin < bins.length && edge(bin) <= limit; bin++) {
        cumulative += bins[bin]!;
        sum += bins[bin]! * edge(bin);
      }
      values.push({ metricName: `${NAME}_bucket`, labels: { le: String(limit), path }, value: cumulative });
    }
    for (; bin < bins.length; bin++) {
      cumulative += bins[bin]!;
      if (bins[bin]! > 0) sum += bins[bin]! * edge(bin);
    }
    values.push({ metricName: `${NAME}_bucket`, labels: { le: '+Inf', path }, value: cumulative });
    values.push({ metricName: `${NAME}_sum`, labels: { path }, value: sum });
    values.push({ metricName: `${NAME}_count`, labels: { path }, value: cumulative });
  }
  return { name: NAME, help: 'Scores of decided events', type: 'histogram', values, aggregator: 'sum' };
}
