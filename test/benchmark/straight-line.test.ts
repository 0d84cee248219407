import { expect, test } from 'vitest';

import { fitLine } from '../../bench/straight-line.js';

test('a straight line through means of blocks, and how far it can be trusted, as numpy.linalg.lstsq has it', () => {
  const x = Array.from({ length: 40 }, (_, at) => at);
  const line = fitLine(
    x,
    x.map((at) => 100 + 0.5 * at + 3 * Math.sin(at * 1.7)),
  );
  expect(line.slope).toBeCloseTo(0.49793767701134223, 12);
  expect(line.mean).toBeCloseTo(109.80211560992325, 10);
  expect(line.error).toBeCloseTo(0.06488079643618129, 12);
});

test('too few samples are refused', () => {
  expect(() => fitLine([1, 2], [1, 2])).toThrow(/at least 20 samples, received 2/);
});
