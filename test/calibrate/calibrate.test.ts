import { describe, expect, it } from 'vitest';

import { calibrate, scoresNeeded, type BackgroundSample } from '#nae/calibrate/calibrate.js';
import { excessAt, fitPareto, goodnessOfFit } from '#nae/calibrate/pareto-tail.js';
import type { Calibration } from '#nae/model/bundle.js';

import { seeded } from '../pipeline/events.js';

/** A background of given scores, each its own parton event. */
function backgroundOf(scores: Float32Array): BackgroundSample {
  const falling = scores.toSorted().reverse();
  const events = scores.length;
  return { falling, groups: undefined, events, effective: events, name: 'b.h5', sha256: '0'.repeat(64) };
}

function uniform(seed: number): () => number {
  const random = seeded(seed);
  return () => (random(1 << 24) + 0.5) / 2 ** 24;
}

describe('empirical quantiles', () => {
  it('state threshold, counts and interval per rate', () => {
    const sample = backgroundOf(Float32Array.from({ length: 100_000 }, (_, event) => 99_999 - event));
    const [first, second] = calibrate(sample, [1e-2, 1e-5], 'hw32');
    expect(first).toMatchObject({ threshold: 99_000, passing: 1000, background_events: 100_000, quantisation: 'hw32' });
    expect(second).toMatchObject({ threshold: 99_999, passing: 1, background: { name: 'b.h5' } });
    expect(second!.low).toBeLessThan(1e-6);
    expect(second!.high).toBeGreaterThan(3e-5);
  });

  it('need no more than the highest scores', () => {
    const sample = backgroundOf(Float32Array.from({ length: 100_000 }, (_, event) => event));
    const part = { ...sample, falling: sample.falling.subarray(0, scoresNeeded(100_000, [1e-2, 1e-5], 'empirical')) };
    expect(part.falling.length).toBeLessThan(1100);
    expect(calibrate(part, [1e-2, 1e-5], 'hw32')).toEqual(calibrate(sample, [1e-2, 1e-5], 'hw32'));
  });

  it('have an interval that covers the true rate in 95 % of samples', () => {
    const draw = uniform(11);
    let covered = 0;
    for (let sample = 0; sample < 400; sample++) {
      const [one] = calibrate(backgroundOf(Float32Array.from({ length: 2000 }, draw)), [0.01], 'hw32');
      const trueRate = 1 - one!.threshold;
      if (one!.low <= trueRate && trueRate <= one!.high) covered++;
    }
    // 95 % of 400 is 380 +- 4.4
    expect(covered).toBeGreaterThan(364);
    expect(covered).toBeLessThan(396);
  });

  it('count copies of one parton event as one', () => {
    const sample = backgroundOf(Float32Array.from({ length: 10_000 }, (_, event) => event));
    const [single] = calibrate(sample, [1e-2], 'hw32');
    const [grouped] = calibrate({ ...sample, effective: 2500 }, [1e-2], 'hw32');
    expect(grouped!.effective_events).toBe(2500);
    expect(grouped!.threshold).toBe(single!.threshold);
    expect(grouped!.high - grouped!.low).toBeGreaterThan(1.9 * (single!.high - single!.low));
  });
});

describe('the generalised Pareto tail', () => {
  it('is fitted with the spread of maximum likelihood: (1 + shape)^2 / n for the shape', () => {
    const draw = uniform(5);
    const shapes = Array.from({ length: 100 }, () => {
      const excesses = Float64Array.from({ length: 1000 }, () => excessAt({ shape: 0.3, scale: 2 }, draw()));
      return fitPareto(excesses).shape;
    });
    const mean = shapes.reduce((sum, shape) => sum + shape / 100, 0);
    const spread = Math.sqrt(shapes.reduce((sum, shape) => sum + (shape - mean) ** 2 / 99, 0));
    // R. L. Smith, Biometrika 72 (1985) 67; 4 standard errors of the mean, 3 of the spread.
    expect(Math.abs(mean - 0.3)).toBeLessThan(4 * (1.3 / Math.sqrt(1000) / 10));
    expect(spread / (1.3 / Math.sqrt(1000))).toBeGreaterThan(0.78);
    expect(spread / (1.3 / Math.sqrt(1000))).toBeLessThan(1.22);
  });

  it.each([0.4, 0, -0.3])('of shape %d is rejected at p < 0.05 in 5 % of samples', (shape) => {
    const draw = uniform(6);
    let rejected = 0;
    for (let sample = 0; sample < 400; sample++) {
      const excesses = Float64Array.from({ length: 250 }, () => excessAt({ shape, scale: 1 }, draw()));
      if (goodnessOfFit(excesses, fitPareto(excesses)).pValue < 0.05) rejected++;
    }
    // 20 +- 4.4
    expect(rejected).toBeGreaterThan(6);
    expect(rejected).toBeLessThan(37);
  });

  it('is rejected where the tail is none', () => {
    const draw = uniform(7);
    const bumps = Float64Array.from({ length: 1000 }, () => 3 + draw());
    expect(goodnessOfFit(bumps, fitPareto(bumps)).pValue).toBe(0.001);
  });

  it('has an interval that covers the true rate beyond its threshold in 95 % of samples', () => {
    const draw = uniform(12);
    let covered = 0;
    let empirical = 0;
    const samples = 200;
    for (let sample = 0; sample < samples; sample++) {
      // P(score > s) = (1 + s / 5)^-5: shape 0.2
      const scores = Float32Array.from({ length: 5000 }, () => 5 * (draw() ** -0.2 - 1));
      const [fitted] = calibrate(backgroundOf(scores), [1e-4], 'hw32', 'gpd');
      expect(fitted!.method).toBe('generalised Pareto tail');
      const trueRate = (1 + fitted!.threshold / 5) ** -5;
      if (fitted!.low <= trueRate && trueRate <= fitted!.high) covered++;
      const [counted] = calibrate(backgroundOf(scores), [1e-4], 'hw32');
      if (fitted!.high / fitted!.low < counted!.high / counted!.low) empirical++;
    }
    // 190 +- 3.1
    expect(covered).toBeGreaterThan(180);
    expect(covered).toBeLessThan(200);
    // One event passes: the fit knows its rate better than counting does.
    expect(empirical).toBe(samples);
  }, 120_000);

  it('takes rates inside the sample from the quantile, and needs enough different scores', () => {
    const draw = uniform(13);
    const scores = Float32Array.from({ length: 20_000 }, () => -Math.log(draw()));
    const [inside, beyond] = calibrate(backgroundOf(scores), [0.2, 1e-5], 'hw32', 'gpd');
    expect(inside!.method).toBe('empirical quantile');
    expect(beyond!.fit!.p_value).toBeGreaterThanOrEqual(0.1);
    expect(Math.abs(beyond!.threshold - Math.log(1e5))).toBeLessThan(3);
    expect(() => calibrate(backgroundOf(new Float32Array(20_000)), [1e-5], 'hw32', 'gpd')).toThrow(
      'tail fit takes 250',
    );
  });
});

describe('where every parton event gives four events of nearly one score', () => {
  const COPIES = 4;
  /** P(score > s) = e^-s, a tail that a generalised Pareto distribution describes. */
  function clustered(draw: () => number, parents: number): BackgroundSample {
    const events = Array.from({ length: parents * COPIES }, (_, event) => ({
      group: Math.floor(event / COPIES),
      score: 0,
    }));
    for (let parent = 0; parent < parents; parent++) {
      const score = -Math.log(draw());
      for (let copy = 0; copy < COPIES; copy++)
        events[parent * COPIES + copy]!.score = Math.fround(score * (1 + copy * 1e-6));
    }
    events.sort((a, b) => b.score - a.score);
    return {
      falling: Float32Array.from(events, ({ score }) => score),
      groups: Uint32Array.from(events, ({ group }) => group),
      events: events.length,
      effective: parents,
      name: 'b.h5',
      sha256: '0'.repeat(64),
    };
  }

  it.each([
    ['empirical', 1e-2, 300],
    ['gpd', 1e-3, 150],
  ] as const)(
    '%s intervals cover the true rate in 95 %% of samples',
    (method, rate, samples) => {
      const draw = uniform(21);
      let covered = 0;
      let naive = 0;
      for (let sample = 0; sample < samples; sample++) {
        const background = clustered(draw, 2000);
        const holds = (one: BackgroundSample): boolean => {
          const [{ threshold, low, high }] = calibrate(one, [rate], 'hw32', method) as [Calibration];
          const trueRate = Math.exp(-threshold);
          return low <= trueRate && trueRate <= high;
        };
        if (holds(background)) covered++;
        if (holds({ ...background, groups: undefined, effective: background.events })) naive++;
      }
      const spread = Math.sqrt(0.95 * 0.05 * samples);
      expect(covered).toBeGreaterThan(0.95 * samples - 3.5 * spread);
      // An interval that takes copies for independent events is too short by half.
      expect(naive).toBeLessThan(0.85 * samples);
    },
    180_000,
  );
});
