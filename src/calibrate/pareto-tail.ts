/**
 * Peaks over threshold: a generalised Pareto distribution fitted to the highest scores of a background, whose rate beyond
 * the last events it extrapolates (Pickands, Ann. Stat. 3 (1975) 119; Davison and Smith, JRSS B 52 (1990) 393). Excess
 * x over the start of the tail: P(X > x) = (1 + shape x / scale)^(-1 / shape).
 */
export interface ParetoFit {
  readonly shape: number;
  readonly scale: number;
  readonly logLikelihood: number;
}

/** Steps of a golden-section search: 1e-9 of the range. */
const SEARCH_STEPS = 43;
const GOLDEN = (Math.sqrt(5) - 1) / 2;
/** Below it the maximum likelihood estimate has no normal limit (R. L. Smith, Biometrika 72 (1985) 67). */
const LEAST_SHAPE = -0.5;
const LARGEST_SHAPE = 2;

function maximise(value: (at: number) => number, from: number, to: number): { at: number; value: number } {
  let [low, high] = [from, to];
  let left = high - GOLDEN * (high - low);
  let right = low + GOLDEN * (high - low);
  let [atLeft, atRight] = [value(left), value(right)];
  for (let step = 0; step < SEARCH_STEPS; step++) {
    if (atLeft >= atRight) {
      [high, right, atRight] = [right, left, atLeft];
      left = high - GOLDEN * (high - low);
      atLeft = value(left);
    } else {
      [low, left, atLeft] = [left, right, atRight];
      right = low + GOLDEN * (high - low);
      atRight = value(right);
    }
  }
  return atLeft >= atRight ? { at: left, value: atLeft } : { at: right, value: atRight };
}

/** Maximum likelihood, by the profile over shape / scale (Grimshaw, Technometrics 35 (1993) 185). */
export function fitPareto(excesses: Float64Array): ParetoFit {
  const count = excesses.length;
  const largest = excesses.reduce((a, b) => Math.max(a, b), 0);
  const shapeOf = (ratio: number): number => {
    let sum = 0;
    for (const excess of excesses) sum += Math.log1p(ratio * excess);
    return sum / count;
  };
  const mean = excesses.reduce((sum, excess) => sum + excess / count, 0);
  const profile = (exponent: number): number => {
    const ratio = Math.expm1(exponent) / largest;
    const shape = shapeOf(ratio);
    if (shape < LEAST_SHAPE || shape > LARGEST_SHAPE) return -Infinity;
    const scale = Math.abs(ratio * mean) < 1e-9 ? mean : shape / ratio;
    return -count * (Math.log(scale) + shape + 1);
  };
  // 1 + ratio * largest from e^-4 on; the search needs one peak, which is inside the allowed shapes.
  let [from, to] = [-4, 16];
  while (profile(from) === -Infinity && from < -0.01) from /= 2;
  while (profile(to) === -Infinity && to > 0.01) to *= 0.9;
  const { at, value } = maximise(profile, from, to);
  const ratio = Math.expm1(at) / largest;
  const shape = shapeOf(ratio);
  return { shape, scale: Math.abs(ratio * mean) < 1e-9 ? mean : shape / ratio, logLikelihood: value };
}

/** P(X > excess). */
function survival({ shape, scale }: Pick<ParetoFit, 'shape' | 'scale'>, excess: number): number {
  if (Math.abs(shape) < 1e-9) return Math.exp(-excess / scale);
  return Math.max(0, 1 + (shape * excess) / scale) ** (-1 / shape);
}

/** Excess with P(X > excess) = p. */
export function excessAt({ shape, scale }: Pick<ParetoFit, 'shape' | 'scale'>, p: number): number {
  return Math.abs(shape) < 1e-9 ? -scale * Math.log(p) : (scale * Math.expm1(-shape * Math.log(p))) / shape;
}

/** chi^2 with one degree of freedom, 95 %. */
const DEVIANCE_95 = 3.841458820694124;

/**
 * 95 % profile-likelihood interval of P(X > excess) at a fixed excess, beyond which the fit gives `p`.
 *
 * @param designEffect - events that one independent event counts for
 */
export function survivalInterval(
  excesses: Float64Array,
  fit: ParetoFit,
  excess: number,
  designEffect: number,
): { low: number; high: number } {
  const profile = (logP: number): number =>
    maximise(
      (shape) => {
        const scale = Math.abs(shape) < 1e-9 ? -excess / logP : (shape * excess) / Math.expm1(-shape * logP);
        return logLikelihood(excesses, shape, scale);
      },
      LEAST_SHAPE,
      LARGEST_SHAPE,
    ).value;
  const centre = Math.log(survival(fit, excess));
  const least = fit.logLikelihood - (DEVIANCE_95 / 2) * designEffect;
  const end = (direction: 1 | -1): number => {
    let inside = 0;
    let outside = 0.25;
    const at = (distance: number): number => centre + direction * distance;
    while (outside < 60 && at(outside) < 0 && profile(at(outside)) > least) outside *= 2;
    for (let step = 0; step < 20; step++) {
      const middle = (inside + outside) / 2;
      if (at(middle) < 0 && profile(at(middle)) > least) inside = middle;
      else outside = middle;
    }
    return Math.exp(at(inside));
  };
  return { low: end(-1), high: end(1) };
}

function logLikelihood(excesses: Float64Array, shape: number, scale: number): number {
  if (!(scale > 0)) return -Infinity;
  let sum = 0;
  if (Math.abs(shape) < 1e-9) {
    for (const excess of excesses) sum += excess / scale;
    return -excesses.length * Math.log(scale) - sum;
  }
  for (const excess of excesses) sum += Math.log1p((shape * excess) / scale);
  // An excess beyond the end of a bounded tail makes the sum NaN.
  return Number.isNaN(sum) ? -Infinity : -excesses.length * Math.log(scale) - (1 + 1 / shape) * sum;
}

/**
 * Upper percentage points of A^2 where shape and scale are fitted: Choulakian and Stephens, Technometrics 43 (2001) 478,
 * table 2; a row per shape, columns by p. (Simulated 95 % points, n = 250: 0.84 at shape 0.4, 0.98 at 0, 1.13 at -0.3.)
 */
const POINTS_P = [0.5, 0.25, 0.1, 0.05, 0.025, 0.01, 0.005, 0.001];
const POINTS: readonly (readonly [shape: number, points: readonly number[]])[] = [
  [-0.5, [0.496, 0.735, 1.061, 1.321, 1.59, 1.958, 2.243, 2.922]],
  [-0.4, [0.468, 0.688, 0.985, 1.221, 1.465, 1.799, 2.058, 2.674]],
  [-0.3, [0.445, 0.649, 0.924, 1.14, 1.365, 1.672, 1.909, 2.475]],
  [-0.2, [0.426, 0.617, 0.873, 1.074, 1.283, 1.567, 1.788, 2.314]],
  [-0.1, [0.41, 0.591, 0.831, 1.02, 1.215, 1.481, 1.687, 2.176]],
  [0, [0.397, 0.569, 0.796, 0.974, 1.158, 1.409, 1.603, 2.064]],
  [0.1, [0.386, 0.55, 0.766, 0.935, 1.11, 1.348, 1.532, 1.966]],
  [0.2, [0.376, 0.534, 0.741, 0.903, 1.069, 1.296, 1.471, 1.893]],
  [0.5, [0.356, 0.499, 0.685, 0.83, 0.978, 1.18, 1.336, 1.707]],
  [0.9, [0.339, 0.471, 0.641, 0.771, 0.905, 1.086, 1.226, 1.559]],
];

/** Goodness of fit: Anderson and Darling's A^2 and its p-value, between the 0.5 and 0.001 that the table covers. */
export function goodnessOfFit(
  excesses: Float64Array,
  fit: ParetoFit,
  designEffect = 1,
): { statistic: number; pValue: number } {
  const above = excesses.slice().sort();
  const count = above.length;
  let sum = 0;
  for (let at = 0; at < count; at++) {
    const below = Math.max(1e-300, 1 - survival(fit, above[at]!));
    sum += (2 * at + 1) * (Math.log(below) + Math.log(Math.max(1e-300, survival(fit, above[count - 1 - at]!))));
  }
  // Of clustered events the empirical distribution fluctuates by the design effect more.
  const statistic = (-count - sum / count) / designEffect;
  const shape = Math.min(0.9, Math.max(-0.5, fit.shape));
  const upper = Math.max(
    1,
    POINTS.findIndex(([row]) => row >= shape),
  );
  const [lowShape, low] = POINTS[upper - 1]!;
  const [highShape, high] = POINTS[upper]!;
  const points = low.map(
    (point, column) => point + ((high[column]! - point) * (shape - lowShape)) / (highShape - lowShape),
  );
  const next = points.findIndex((point) => point >= statistic);
  if (next === 0) return { statistic, pValue: POINTS_P[0]! };
  if (next < 0) return { statistic, pValue: POINTS_P.at(-1)! };
  const part = (statistic - points[next - 1]!) / (points[next]! - points[next - 1]!);
  return { statistic, pValue: POINTS_P[next - 1]! * (POINTS_P[next]! / POINTS_P[next - 1]!) ** part };
}
