/**
 * A histogram with a bounded relative error, for latencies: constant memory, weighted records.
 */
const BINS_PER_OCTAVE = 64; // 1.1 % per bin
const SMALLEST = 1e-7;
const OCTAVES = 40;

export class QuantileHistogram {
  readonly #counts = new Float64Array(BINS_PER_OCTAVE * OCTAVES);
  #total = 0;

  /** Add a non-negative value `weight` times. */
  record(value: number, weight = 1): void {
    const bin = value <= SMALLEST ? 0 : Math.floor(Math.log2(value / SMALLEST) * BINS_PER_OCTAVE);
    const clipped = Math.min(bin, this.#counts.length - 1);
    this.#counts[clipped] = this.#counts[clipped]! + weight;
    this.#total += weight;
  }

  get total(): number {
    return this.#total;
  }

  /** Value below which a fraction `q` of the records lies, within 1.1 %; NaN without records. */
  quantile(q: number): number {
    if (this.#total === 0) return NaN;
    const target = Math.max(q * this.#total, Number.MIN_VALUE);
    let seen = 0;
    let bin = 0;
    for (; bin < this.#counts.length - 1; bin++) {
      seen += this.#counts[bin]!;
      if (seen >= target) break;
    }
    return SMALLEST * 2 ** ((bin + 0.5) / BINS_PER_OCTAVE);
  }
}
