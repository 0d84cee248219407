import { describe, expect, it } from 'vitest';

import { calibrate } from '#nae/calibrate/calibrate.js';

import { seeded } from '../pipeline/events.js';

describe('calibration', () => {
  const sample = { eventsPerGroup: undefined, name: 'b.h5', sha256: '0'.repeat(64) };

  it('states threshold, counts and interval per rate', () => {
    const scores = Float32Array.from({ length: 100_000 }, (_, event) => 99_999 - event);
    const [first, second] = calibrate({ ...sample, scores }, [1e-2, 1e-5], 'hw32');
    expect(first).toMatchObject({ threshold: 99_000, passing: 1000, background_events: 100_000, quantisation: 'hw32' });
    expect(second).toMatchObject({ threshold: 99_999, passing: 1, background: { name: 'b.h5' } });
    expect(second!.low).toBeLessThan(1e-6);
    expect(second!.high).toBeGreaterThan(3e-5);
  });

  it('has an interval that covers the true rate in 95 % of samples', () => {
    const random = seeded(11);
    let covered = 0;
    const samples = 400;
    for (let sampleNumber = 0; sampleNumber < samples; sampleNumber++) {
      const scores = Float32Array.from({ length: 2000 }, () => random(1 << 24) / 2 ** 24);
      const [one] = calibrate({ ...sample, scores }, [0.01], 'hw32');
      const trueRate = 1 - one!.threshold;
      if (one!.low <= trueRate && trueRate <= one!.high) covered++;
    }
    // 95 % of 400 is 380 +- 4.4
    expect(covered).toBeGreaterThan(364);
    expect(covered).toBeLessThan(396);
  });

  it('counts copies of one parton event as one', () => {
    const scores = Float32Array.from({ length: 10_000 }, (_, event) => event);
    const [single] = calibrate({ ...sample, scores }, [1e-2], 'hw32');
    const copies = { ...sample, scores, eventsPerGroup: new Array<number>(2500).fill(4) };
    const [grouped] = calibrate(copies, [1e-2], 'hw32');
    expect(grouped!.effective_events).toBe(2500);
    expect(grouped!.threshold).toBe(single!.threshold);
    expect(grouped!.high - grouped!.low).toBeGreaterThan(1.9 * (single!.high - single!.low));
  });
});
