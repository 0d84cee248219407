import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { ratioInterval } from '#nae/decide/intervals.js';
import { parseShadowBand, ShadowComparison, type ShadowBand } from '#nae/decide/shadow-comparison.js';

const path = (
  name: string,
  threshold: number,
  modelSha256 = 'a',
): { name: string; threshold: number; modelSha256: string } => ({
  name,
  threshold,
  modelSha256,
});

/** Scores of one path, no faults. */
const scored = (scores: readonly number[]): { scores: Float32Array; stride: number; faults: Uint8Array } => ({
  scores: Float32Array.from(scores),
  stride: scores.length,
  faults: new Uint8Array(scores.length),
});

/** A menu that accepts `running` of `events` and one that accepts `candidate` of them. */
function compared(
  events: number,
  running: number,
  candidate: number,
  band: ShadowBand,
  expectedRatio = 1,
): ShadowComparison {
  const comparison = new ShadowComparison([path('p', 1)], [path('q', 1)], events, band, expectedRatio);
  const first = (accepted: number): readonly number[] =>
    Array.from({ length: events }, (_, at) => (at < accepted ? 2 : 0));
  comparison.add(events, scored(first(running)), scored(first(candidate)));
  return comparison;
}

describe('a shadow comparison', () => {
  it('counts what both, one or none accept, and correlates the scores', () => {
    const values = fc.array(
      fc.tuple(fc.float({ min: 0, max: 2, noNaN: true }), fc.float({ min: 0, max: 2, noNaN: true })),
      {
        minLength: 3,
        maxLength: 50,
      },
    );
    fc.assert(
      fc.property(values, (pairs) => {
        const [running, candidate] = [pairs.map(([one]) => one), pairs.map(([, other]) => other)];
        const comparison = new ShadowComparison([path('p', 1)], [path('p', 1.5)], 1000, { kind: 'none' }, 1);
        // In two batches, as they come.
        comparison.add(2, scored(running.slice(0, 2)), scored(candidate.slice(0, 2)));
        comparison.add(pairs.length - 2, scored(running.slice(2)), scored(candidate.slice(2)));
        const report = comparison.report();
        const count = (which: (one: boolean, other: boolean) => boolean): number =>
          pairs.filter(([one, other]) => which(one >= 1, other >= 1.5)).length;
        expect(report).toMatchObject({
          events: pairs.length,
          both: count((one, other) => one && other),
          only_running: count((one, other) => one && !other),
          only_candidate: count((one, other) => !one && other),
        });
        const [both] = report.paths;
        expect(both).toMatchObject({ both: report.both, only_running: report.only_running });
        expect(both!.max_score_difference).toBe(Math.max(...pairs.map(([one, other]) => Math.abs(one - other))));
        const mean = (of: readonly number[]): number => of.reduce((sum, one) => sum + one, 0) / of.length;
        const [x, y] = [mean(running), mean(candidate)];
        const moment = (of: (one: number, other: number) => number): number =>
          pairs.reduce((sum, [one, other]) => sum + of(one - x, other - y), 0);
        const spread = Math.sqrt(moment((a) => a * a) * moment((_, b) => b * b));
        if (spread > 1e-6) expect(both!.correlation).toBeCloseTo(moment((a, b) => a * b) / spread, 6);
      }),
    );
  });

  it.each<[string, number, number, number, ShadowBand, boolean]>([
    ['as many', 10_000, 20, 20, { kind: 'factor', factor: 3 }, false],
    ['ten times as many', 10_000, 20, 200, { kind: 'factor', factor: 3 }, true],
    ['a tenth', 10_000, 200, 20, { kind: 'factor', factor: 3 }, true],
    ['five of none: too few to tell', 10_000, 1, 5, { kind: 'factor', factor: 3 }, false],
    ['none of one: too few to tell', 10_000, 1, 0, { kind: 'factor', factor: 3 }, false],
    ['a flood beside nothing', 10_000, 0, 10_000, { kind: 'factor', factor: 3 }, true],
    ['none of either', 10_000, 0, 0, { kind: 'factor', factor: 3 }, false],
    ['a rate within bounds', 10_000, 0, 10, { kind: 'rates', low: 1e-4, high: 1e-2 }, false],
    ['a rate above them', 10_000, 0, 300, { kind: 'rates', low: 1e-4, high: 1e-2 }, true],
    ['a rate below them', 10_000, 0, 0, { kind: 'rates', low: 1e-2, high: 1 }, true],
    ['none of few, below bounds that it cannot show', 100, 0, 0, { kind: 'rates', low: 1e-3, high: 1 }, false],
    ['anything', 10_000, 0, 10_000, { kind: 'none' }, false],
  ])('of %s', (_what, events, running, candidate, band, objects) => {
    expect(compared(events, running, candidate, band).objection() !== undefined).toBe(objects);
  });

  it('expects the ratio of the calibrated rates, and says what is demonstrated', () => {
    const band: ShadowBand = { kind: 'factor', factor: 2 };
    expect(compared(100_000, 100, 1000, band, 10).objection()).toBeUndefined();
    expect(compared(100_000, 100, 1000, band, 1).objection()).toMatch(
      /between 0\.500 and 2\.00 .* received 8\.\d+ to 12\.\d+/,
    );
    expect(compared(100_000, 100, 1000, band, 10).report().band).toEqual({
      of: 'ratio',
      low: 5,
      high: 20,
      demonstrated: true,
    });
    expect(compared(100_000, 1, 10, band, 10).report().band).toMatchObject({ demonstrated: false });
  });

  it('objects to events without a score', () => {
    const comparison = new ShadowComparison([path('p', 1)], [path('p', 1)], 10, { kind: 'none' }, 1);
    const candidate = scored([0, 0, 0]);
    candidate.faults[1] = 7;
    comparison.add(3, scored([0, 0, 0]), candidate);
    expect(comparison.complete).toBe(true);
    expect(comparison.objection()).toMatch(/finite score .* none for 1/);
  });

  it('the interval of a ratio covers at least 95 % of Poisson pairs', () => {
    // Exact enumeration at means 6 and 3: a ratio of 2.
    const poisson = (mean: number, count: number): number => {
      let probability = Math.exp(-mean);
      for (let k = 1; k <= count; k++) probability *= mean / k;
      return probability;
    };
    let covered = 0;
    for (let one = 0; one < 40; one++) {
      for (let other = 0; other < 40; other++) {
        const { low, high } = ratioInterval(one, other);
        if (low <= 2 && high >= 2) covered += poisson(6, one) * poisson(3, other);
      }
    }
    expect(covered).toBeGreaterThan(0.95);
    expect(covered).toBeLessThan(0.999);
  });

  it.each(['', '0.5', 'x', '1..', '2..1', '0..2', 'NaN', '1e-3..NaN', '-1', '1..2..3'])('no band: %j', (text) => {
    expect(() => parseShadowBand(text)).toThrow('--shadow-band');
  });
});
