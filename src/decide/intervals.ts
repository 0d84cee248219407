/**
 * Intervals of efficiencies: exact binomial (Clopper and Pearson, Biometrika 26 (1934) 404) and of the rate above
 * an order statistic, which is Beta distributed (David and Nagaraja, Order Statistics, 3rd ed., ch. 2).
 */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

const TAIL = 0.025; // 95 % central

/** 95 % Clopper-Pearson interval of an efficiency from `passing` of `trials`; both may be effective numbers. */
export function binomialInterval(passing: number, trials: number): Interval {
  return {
    low: passing <= 0 ? 0 : betaQuantile(TAIL, passing, trials - passing + 1),
    high: passing >= trials ? 1 : betaQuantile(1 - TAIL, passing + 1, trials - passing),
  };
}

/** 95 % interval of the true rate above the `passing`-th highest of `trials` scores: Beta(k, n + 1 - k). */
export function orderStatisticInterval(passing: number, trials: number): Interval {
  if (passing <= 0) return { low: 0, high: betaQuantile(1 - TAIL, 1, trials) };
  return {
    low: betaQuantile(TAIL, passing, trials + 1 - passing),
    high: betaQuantile(1 - TAIL, passing, trials + 1 - passing),
  };
}

/**
 * 95 % interval of the ratio of two rates, from what each passes of the same number of trials: given the sum, the first
 * count is binomial with probability ratio / (1 + ratio) (Przyborowski and Wilenski, Biometrika 31 (1940) 313). Events
 * that pass both make it wider than it need be, never narrower.
 */
export function ratioInterval(passing: number, reference: number): Interval {
  const sum = passing + reference;
  if (sum === 0) return { low: 0, high: Infinity };
  const { low, high } = binomialInterval(passing, sum);
  return { low: low / (1 - low), high: high === 1 ? Infinity : high / (1 - high) };
}

/**
 * Independent events that clustered events are worth: Kish's n^2 / sum n_g^2 over groups of n_g events that are
 * taken to be fully correlated (Kish, Survey Sampling, 1965). An honest lower bound.
 */
export function effectiveEvents(eventsPerGroup: Iterable<number>): number {
  let sum = 0;
  let squares = 0;
  for (const events of eventsPerGroup) {
    sum += events;
    squares += events * events;
  }
  return squares === 0 ? 0 : (sum * sum) / squares;
}

/** Smallest count k with P(K <= k) >= p for K ~ Binomial(trials, rate); trials may be an effective number. */
export function binomialQuantile(p: number, trials: number, rate: number): number {
  const cumulative = (k: number): number => (k >= trials ? 1 : incompleteBeta(1 - rate, trials - k, k + 1));
  let low = -1;
  let high = Math.ceil(trials);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (cumulative(middle) >= p) high = middle;
    else low = middle;
  }
  return high;
}

/** x with I_x(a, b) = p, by bisection; a, b > 0. */
export function betaQuantile(p: number, a: number, b: number): number {
  let low = 0;
  let high = 1;
  for (let step = 0; step < 200 && high - low > 1e-15 * high; step++) {
    const middle = (low + high) / 2;
    if (incompleteBeta(middle, a, b) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** Regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22). */
export function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // The fraction converges fast below the mean only.
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const logFront = a * Math.log(x) + b * Math.log1p(-x) - Math.log(a) - logBeta(a, b);
  const tiny = 1e-300;
  let c = 1;
  let d = 1 / nonZero(1 - ((a + b) * x) / (a + 1), tiny);
  let fraction = d;
  for (let m = 1; m <= 10_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / nonZero(1 + even * d, tiny);
    c = nonZero(1 + even / c, tiny);
    fraction *= c * d;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / nonZero(1 + odd * d, tiny);
    c = nonZero(1 + odd / c, tiny);
    fraction *= c * d;
    if (Math.abs(c * d - 1) < 1e-15) break;
  }
  return Math.exp(logFront) * fraction;
}

function nonZero(value: number, tiny: number): number {
  return Math.abs(value) < tiny ? tiny : value;
}

function logBeta(a: number, b: number): number {
  return logGamma(a) + logGamma(b) - logGamma(a + b);
}

const STIRLING = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360];

/** ln Gamma(x) for x > 0: Stirling's series (DLMF 5.11.1) above 12, recurrence below. */
function logGamma(x: number): number {
  let shift = 0;
  while (x < 12) {
    shift -= Math.log(x);
    x += 1;
  }
  let series = 0;
  for (const [term, coefficient] of STIRLING.entries()) series += coefficient / x ** (2 * term + 1);
  return shift + (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + series;
}
