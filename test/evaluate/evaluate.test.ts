import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { areaUnderCurve, evaluate } from '#nae/evaluate/evaluate.js';

import { seeded } from '../pipeline/events.js';

const coarse = fc.array(fc.nat(6), { minLength: 2, maxLength: 40 }).map((values) => Float32Array.from(values).sort());

describe('the area under the curve', () => {
  it('is the fraction of pairs in order, ties counting half', () => {
    fc.assert(
      fc.property(coarse, coarse, (background, signal) => {
        let pairs = 0;
        for (const s of signal) for (const b of background) pairs += s > b ? 1 : s === b ? 0.5 : 0;
        expect(areaUnderCurve(background, signal).auc).toBeCloseTo(pairs / background.length / signal.length, 12);
      }),
    );
  });

  it('has an error that is the spread over repetitions', () => {
    const random = seeded(3);
    const gauss = (): number => Array.from({ length: 12 }, () => random(1 << 20) / 2 ** 20).reduce((a, b) => a + b) - 6;
    const repeated = Array.from({ length: 300 }, () =>
      areaUnderCurve(
        Float32Array.from({ length: 300 }, gauss).sort(),
        Float32Array.from({ length: 200 }, () => gauss() + 1).sort(),
      ),
    );
    const mean = repeated.reduce((sum, { auc }) => sum + auc, 0) / 300;
    const spread = Math.sqrt(repeated.reduce((sum, { auc }) => sum + (auc - mean) ** 2, 0) / 299);
    const stated = repeated.reduce((sum, { auc_error: error }) => sum + error, 0) / 300;
    // Two unit Gaussians one apart: Phi(1 / sqrt 2).
    expect(mean).toBeCloseTo(0.7602, 2);
    expect(stated / spread).toBeGreaterThan(0.85);
    expect(stated / spread).toBeLessThan(1.15);
  });
});

describe('working points', () => {
  const background = Float32Array.from({ length: 200_000 }, (_, event) => event / 200_000);

  it('count what is above the background quantile', () => {
    const signal = Float32Array.from({ length: 1000 }, (_, event) => 0.5 + event / 1000);
    const result = evaluate('model', background, background.length, new Map([['shifted', signal]]));
    expect(result).toMatchObject({ model: 'model', background_events: 200_000 });
    const [point] = result.signals[0]!.efficiency;
    expect(point).toMatchObject({ background: 1e-3, background_passing: 200, threshold: Math.fround(0.999) });
    expect(point!.signal).toBe(0.501);
    expect(point!.low).toBeLessThan(0.501);
    expect(point!.high).toBeGreaterThan(0.501);
  });

  it('have an interval that covers the efficiency at the true threshold', () => {
    const random = seeded(8);
    const uniform = (): number => random(1 << 24) / 2 ** 24;
    let covered = 0;
    const samples = 200;
    for (let sample = 0; sample < samples; sample++) {
      // Background u, signal u^(1/3): efficiency above a cut c is 1 - c^3.
      const result = evaluate(
        'm',
        Float32Array.from({ length: 5000 }, uniform),
        5000,
        new Map([['s', Float32Array.from({ length: 500 }, () => Math.cbrt(uniform()))]]),
      );
      const [point] = result.signals[0]!.efficiency;
      const truth = 1 - (1 - 1e-3) ** 3;
      if (point!.low <= truth && truth <= point!.high) covered++;
    }
    // At least 95 %, allowing for 200 samples.
    expect(covered).toBeGreaterThan(180);
  });

  it('have an upper end that knows of the threshold even where no background event passes', () => {
    const signal = Float32Array.from({ length: 100 }, () => 0.99997);
    const few = Float32Array.from({ length: 50_000 }, (_, event) => event / 50_000);
    const point = evaluate('m', few, few.length, new Map([['s', signal]])).signals[0]!.efficiency[2]!;
    expect(point).toMatchObject({ signal: 0, low: 0, background_passing: 0 });
    expect(point.high).toBeGreaterThan(0.9);
  });

  it('have wider intervals where the background is worth fewer events', () => {
    const signal = Float32Array.from({ length: 5000 }, (_, event) => 0.998 + event / 2_500_000);
    const width = (effective: number): number => {
      const point = evaluate('m', background, effective, new Map([['s', signal]])).signals[0]!.efficiency[1]!;
      expect(point.low).toBeLessThanOrEqual(point.signal);
      expect(point.high).toBeGreaterThanOrEqual(point.signal);
      return point.high - point.low;
    };
    expect(width(50_000)).toBeGreaterThan(width(200_000));
  });
});
