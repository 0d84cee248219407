import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { calibratedThreshold, empiricalThreshold, nextFloat32 } from '#nae/decide/threshold.js';
import { loadBundle } from '#nae/model/bundle.js';

import { BUNDLES } from '../pipeline/memory-stream.js';

const scores = fc
  .float32Array({ minLength: 1, maxLength: 200, noNaN: true, min: 0, max: 1000 })
  .map((values) => values.sort());
/** With many ties. */
const coarse = fc.array(fc.nat(5), { minLength: 1, maxLength: 50 }).map((values) => Float32Array.from(values).sort());

describe('the empirical threshold', () => {
  it('passes at most the wanted fraction, and one step lower would pass more', () => {
    fc.assert(
      fc.property(fc.oneof(scores, coarse), fc.double({ min: 1e-6, max: 1, noNaN: true }), (ascending, rate) => {
        const { threshold, passing } = empiricalThreshold(ascending.toReversed(), ascending.length, rate);
        const above = (cut: number): number => ascending.filter((score) => score >= cut).length;
        expect(Math.fround(threshold)).toBe(threshold);
        expect(above(threshold)).toBe(passing);
        const allowed = Math.floor(rate * ascending.length + 1e-6);
        expect(passing).toBeLessThanOrEqual(allowed);
        const nextLower = ascending.filter((score) => score < threshold).at(-1);
        if (nextLower !== undefined) expect(above(nextLower)).toBeGreaterThan(allowed);
      }),
    );
  });

  it('keeps exactly the fraction where there are no ties', () => {
    const falling = Float32Array.from({ length: 100_000 }, (_, event) => 99_999 - event);
    expect(empiricalThreshold(falling, 100_000, 1e-5)).toEqual({ threshold: 99_999, passing: 1 });
    expect(empiricalThreshold(falling, 100_000, 1e-3)).toEqual({ threshold: 99_900, passing: 100 });
    expect(empiricalThreshold(falling, 100_000, 1e-6)).toEqual({ threshold: nextFloat32(99_999), passing: 0 });
  });

  it('refuses an empty background', () => {
    expect(() => empiricalThreshold(new Float32Array(0), 0, 0.1)).toThrow('expected background events');
  });
});

describe('the next float32', () => {
  it('nextFloat32 is the next one', () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true, max: Math.fround(1e38) }), (value) => {
        const next = nextFloat32(value);
        expect(next).toBeGreaterThan(value);
        expect([value, next]).toContain(Math.fround((value + next) / 2));
      }),
    );
  });
});

describe('a calibrated threshold', async () => {
  const bundle = await loadBundle(`${BUNDLES}ae-events-s`);

  it('is that of the rate', () => {
    expect(calibratedThreshold(bundle, 1e-3, 'hw32')).toMatchObject({ target_rate: 1e-3 });
  });

  it('is refused for other rates, with the list of those there are', () => {
    expect(() => calibratedThreshold(bundle, 2e-3, 'hw32')).toThrow(
      /2e-3: .* is calibrated for 1e-2, 1e-3, 1e-4, 1e-5/,
    );
  });

  it('is refused on another grid', () => {
    expect(() => calibratedThreshold(bundle, 1e-3, 'none')).toThrow(/calibrated with hw32/);
  });
});
