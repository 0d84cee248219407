import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  betaQuantile,
  binomialInterval,
  binomialQuantile,
  effectiveEvents,
  incompleteBeta,
  orderStatisticInterval,
} from '#nae/decide/intervals.js';

describe('intervals', () => {
  // scipy.stats.beta.ppf
  it.each([
    [12, 1_200_000, 5.167156257029577e-6, 1.7467922314802244e-5],
    [0, 1000, 0, 0.003682083896865671],
    [1000, 1000, 0.9963179161031344, 1],
  ])('binomial %i of %i', (passing, trials, low, high) => {
    const interval = binomialInterval(passing, trials);
    expect(interval.low).toBeCloseTo(low, 12);
    expect(interval.high).toBeCloseTo(high, 12);
  });

  it('order statistic: 12 of 1.2 million', () => {
    const { low, high } = orderStatisticInterval(12, 1_200_000);
    expect(low / 5.167156257029577e-6).toBeCloseTo(1, 9);
    expect(high / 1.6401639427694053e-5).toBeCloseTo(1, 9);
  });

  it('the quantile inverts the distribution', () => {
    const shape = fc.double({ min: 0.5, max: 1e4, noNaN: true });
    fc.assert(
      fc.property(shape, shape, fc.double({ min: 0.01, max: 0.99, noNaN: true }), (a, b, p) => {
        expect(incompleteBeta(betaQuantile(p, a, b), a, b)).toBeCloseTo(p, 8);
      }),
    );
  });

  it('the binomial interval covers at least 95 % (exact enumeration at p = 0.03, n = 60)', () => {
    const [p, n] = [0.03, 60];
    let covered = 0;
    let term = (1 - p) ** n;
    for (let k = 0; k <= n; k++) {
      const { low, high } = binomialInterval(k, n);
      if (low <= p && p <= high) covered += term;
      term *= ((n - k) / (k + 1)) * (p / (1 - p));
    }
    expect(covered).toBeGreaterThanOrEqual(0.95);
  });

  it('binomial quantiles are those of the summed distribution', () => {
    for (const [trials, rate] of [
      [60, 0.03],
      [500, 0.01],
      [40, 0.5],
    ] as const) {
      const cumulative: number[] = [];
      let term = (1 - rate) ** trials;
      let sum = 0;
      for (let k = 0; k <= trials; k++) {
        cumulative.push((sum += term));
        term *= ((trials - k) / (k + 1)) * (rate / (1 - rate));
      }
      for (const p of [0.025, 0.5, 0.975]) {
        expect(binomialQuantile(p, trials, rate)).toBe(cumulative.findIndex((value) => value >= p));
      }
    }
    // scipy.stats.binom.ppf
    expect([0.025, 0.975].map((p) => binomialQuantile(p, 1_200_000, 1e-5))).toEqual([6, 19]);
  });

  it('groups of equal size are worth their number', () => {
    expect(effectiveEvents([1, 1, 1])).toBe(3);
    expect(effectiveEvents([4, 4, 4])).toBe(3);
    expect(effectiveEvents([])).toBe(0);
  });
});
