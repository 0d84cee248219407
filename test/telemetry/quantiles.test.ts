import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { QuantileHistogram } from '#nae/telemetry/quantiles.js';

describe('quantiles', () => {
  it('are within 1.1 % of the exact ones', () => {
    const seconds = fc.double({ min: 1e-6, max: 1000, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(seconds, { minLength: 1, maxLength: 100 }),
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        (values, q) => {
          const histogram = new QuantileHistogram();
          for (const value of values) histogram.record(value);
          const exact = values.sort((a, b) => a - b)[Math.ceil(q * values.length) - 1]!;
          expect(histogram.quantile(q) / exact).toBeGreaterThan(1 / 1.011);
          expect(histogram.quantile(q) / exact).toBeLessThan(1.011);
        },
      ),
    );
  });

  it('count weights as so many records', () => {
    const histogram = new QuantileHistogram();
    histogram.record(1e-3, 99);
    histogram.record(1, 1);
    expect(histogram.total).toBe(100);
    expect(histogram.quantile(0.99)).toBeCloseTo(1e-3, 4);
    expect(histogram.quantile(0.999)).toBeGreaterThan(0.9);
  });

  it('of nothing are not a number', () => {
    expect(new QuantileHistogram().quantile(0.5)).toBeNaN();
  });
});
