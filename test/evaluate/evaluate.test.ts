import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { compare, evaluate, statisticsOf } from '#nae/evaluate/evaluate.js';
import { evaluateUnion, unionTail } from '#nae/evaluate/union.js';

import { seeded } from '../pipeline/events.js';
import { evaluationOf, OPTIONS, sampleOf } from './samples.js';

const coarse = fc.array(fc.nat(6), { minLength: 2, maxLength: 40 }).map((values) => Float32Array.from(values));

function gaussian(seed: number): () => number {
  const random = seeded(seed);
  return () => Array.from({ length: 12 }, () => random(1 << 20) / 2 ** 20).reduce((a, b) => a + b) - 6;
}

describe('the area under the curve', () => {
  it('is the fraction of pairs in order, ties counting half', () => {
    fc.assert(
      fc.property(coarse, coarse, (background, signal) => {
        let pairs = 0;
        for (const s of signal) for (const b of background) pairs += s > b ? 1 : s === b ? 0.5 : 0;
        const { result } = evaluationOf([
          { name: '', scores: background },
          { name: 's', scores: signal },
        ]);
        expect(result.signals[0]!.auc).toBeCloseTo(pairs / background.length / signal.length, 12);
      }),
      { numRuns: 30 },
    );
  });

  it('has an error that is the spread over repetitions, also of clustered events', () => {
    const gauss = gaussian(3);
    for (const copies of [1, 4]) {
      const repeated = Array.from({ length: 150 }, () => {
        const draw = (events: number, mean: number): Float32Array => {
          const values = Float32Array.from({ length: events }, () => gauss() + mean);
          return Float32Array.from({ length: events * copies }, (_, event) => values[Math.floor(event / copies)]!);
        };
        const groups = (events: number): number[] =>
          Array.from({ length: events * copies }, (_, event) => Math.floor(event / copies));
        return evaluationOf([
          { name: '', scores: draw(300, 0), groups: groups(300) },
          { name: 's', scores: draw(200, 1), groups: groups(200) },
        ]).result.signals[0]!;
      });
      const mean = repeated.reduce((sum, { auc }) => sum + auc, 0) / 150;
      const spread = Math.sqrt(repeated.reduce((sum, { auc }) => sum + (auc - mean) ** 2, 0) / 149);
      const stated = repeated.reduce((sum, { auc_error: error }) => sum + error, 0) / 150;
      // Two unit Gaussians one apart: Phi(1 / sqrt 2).
      expect(mean).toBeCloseTo(0.7602, 2);
      expect(stated / spread).toBeGreaterThan(0.8);
      expect(stated / spread).toBeLessThan(1.2);
    }
  });
});

describe('working points', () => {
  const background = Float32Array.from({ length: 200_000 }, (_, event) => event / 200_000);

  it('count what is above the background quantile', () => {
    const signal = Float32Array.from({ length: 1000 }, (_, event) => 0.5 + event / 1000);
    const { result } = evaluationOf(
      [
        { name: '', scores: background },
        { name: 'shifted', scores: signal },
      ],
      { pure: true },
    );
    expect(result).toMatchObject({ background_events: 200_000, effective_background_events: 200_000 });
    const [point] = result.signals[0]!.efficiency;
    expect(point).toMatchObject({
      background: 1e-3,
      background_passing: 200,
      few_background: false,
      threshold: Math.fround(0.999),
    });
    expect(result.signals[0]!.efficiency[2]).toMatchObject({ background_passing: 2, few_background: true });
    expect(point!.signal).toBe(0.501);
    expect(point!.low).toBeLessThan(0.501);
    expect(point!.high).toBeGreaterThan(0.501);
    // Every second event is taken elsewhere.
    expect(point!.pure!.signal).toBeCloseTo(0.25, 2);
  });

  it('agree with counting by hand on many ties', () => {
    fc.assert(
      fc.property(coarse, coarse, (values, signal) => {
        const many = Float32Array.from({ length: 1000 }, (_, event) => (event < values.length ? values[event]! : -1));
        const { result } = evaluationOf([
          { name: '', scores: many },
          { name: 's', scores: signal },
        ]);
        for (const point of result.signals[0]!.efficiency) {
          const above = (scores: Float32Array): number => scores.filter((score) => score >= point.threshold).length;
          expect(above(many)).toBe(point.background_passing);
          expect(point.signal).toBeCloseTo(above(signal) / signal.length, 12);
          expect(point.background_passing).toBeLessThanOrEqual(1000 * point.background + 1e-6);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('have an interval that covers the efficiency at the true threshold', () => {
    const random = seeded(8);
    const uniform = (): number => random(1 << 24) / 2 ** 24;
    let covered = 0;
    const samples = 200;
    for (let sample = 0; sample < samples; sample++) {
      // Background u, signal u^(1/3): efficiency above a cut c is 1 - c^3.
      const { result } = evaluationOf([
        { name: '', scores: Float32Array.from({ length: 20_000 }, uniform) },
        { name: 's', scores: Float32Array.from({ length: 500 }, () => Math.cbrt(uniform())) },
      ]);
      const [point] = result.signals[0]!.efficiency;
      const truth = 1 - (1 - 1e-3) ** 3;
      if (point!.low <= truth && truth <= point!.high) covered++;
    }
    // At least 95 %, allowing for 200 samples.
    expect(covered).toBeGreaterThan(180);
  }, 120_000);

  it('have wider intervals where events share a parton event', () => {
    const signal = Float32Array.from({ length: 5000 }, (_, event) => 0.998 + event / 2_500_000);
    const width = (share: number): number => {
      const groups = Array.from({ length: background.length }, (_, event) => Math.floor(event / share));
      const { result } = evaluationOf([
        { name: '', scores: background, groups },
        { name: 's', scores: signal },
      ]);
      expect(result.effective_background_events).toBe(background.length / share);
      const point = result.signals[0]!.efficiency[1]!;
      return point.high - point.low;
    };
    expect(width(4)).toBeGreaterThan(1.4 * width(1));
  });
});

describe('sculpting', () => {
  it('is rank correlation 1 for a score that is the mass, and 0 for one that knows nothing of it', () => {
    const random = seeded(4);
    const of = (scores: Float32Array): number =>
      evaluationOf([
        { name: '', scores },
        { name: 's', scores: scores.slice(0, 10) },
      ]).result.sculpting.mass.spearman;
    expect(of(Float32Array.from({ length: 1000 }, (_, event) => event))).toBeCloseTo(1, 12);
    expect(of(Float32Array.from({ length: 1000 }, (_, event) => -event))).toBeCloseTo(-1, 12);
    expect(Math.abs(of(Float32Array.from({ length: 1000 }, () => random(1 << 24))))).toBeLessThan(0.13);
  });
});

describe('two models on the same events', () => {
  const gauss = gaussian(5);
  const events = 30_000;
  const shared = Float32Array.from({ length: events }, gauss);
  const other = Float32Array.from({ length: events }, gauss);
  const background = Float32Array.of(...shared, ...shared.map((value, at) => value + other[at]! / 10), ...other);
  const found = Float32Array.from({ length: 2000 }, () => gauss() + 2);
  const noise = Float32Array.from({ length: 2000 }, gauss);
  const signal = Float32Array.of(...found, ...found.map((value, at) => value + noise[at]! / 10), ...noise);
  const sample = sampleOf(3, [
    { name: '', scores: background },
    { name: 's', scores: signal },
  ]);
  const options = { ...OPTIONS, tailLength: unionTail(events) };
  const statistics = statisticsOf(sample, options);
  const all = [0, 1, 2].map((model) => evaluate(`m${model}`, model, sample, statistics, options));

  it('differ by less than their errors where they see the same', () => {
    const { low, high, auc_difference: difference } = compare(all[0]!, all[1]!).signals[0]!;
    expect(low).toBeLessThanOrEqual(difference);
    expect(high).toBeGreaterThanOrEqual(difference);
    expect(high - low).toBeLessThan(all[0]!.result.signals[0]!.auc_error);
    const [itself] = compare(all[0]!, all[0]!).signals;
    expect(itself).toMatchObject({ auc_difference: 0, low: 0, high: 0 });
    expect(itself!.efficiency_ratio[0]).toMatchObject({ ratio: 1, low: 1, high: 1 });
  });

  it('make a union that keeps the rate, with thresholds that accept what it says', () => {
    const union = evaluateUnion(sample, statistics, all);
    for (const [at, { background: rate, paths, background_passing: passing, overlaps }] of union.rates.entries()) {
      const acceptedOf = (scores: Float32Array): number => {
        const count = scores.length / 3;
        let accepted = 0;
        for (let event = 0; event < count; event++) {
          if (paths.some(({ threshold }, model) => scores[model * count + event]! >= threshold)) accepted++;
        }
        return accepted;
      };
      expect(acceptedOf(background)).toBe(passing);
      expect(passing).toBeLessThanOrEqual(rate * events);
      // As near to the rate as ties of three ranks allow.
      expect(passing).toBeGreaterThan(rate * events - 3);
      const point = union.signals[0]!.efficiency[at]!;
      expect(point.signal).toBeCloseTo(acceptedOf(signal) / 2000, 12);
      expect(point.low).toBeLessThanOrEqual(point.signal);
      expect(point.high).toBeGreaterThanOrEqual(point.signal);
      expect(overlaps).toHaveLength(3);
    }
    // Two of the three see the same: most of what one accepts the other accepts.
    const [{ paths, overlaps }] = union.rates as [(typeof union.rates)[number]];
    expect(overlaps[0]!.background_passing).toBeGreaterThan(paths[0]!.background_passing / 2);
    expect(overlaps[1]!.background_passing).toBeLessThan(paths[0]!.background_passing / 2);
    sample.close();
  });
});
