/**
 * The streaming cluster bootstrap: every replica gives every group of events a Poisson(1) weight that is a hash of
 * (seed, replica, group). No list of groups is kept, so memory does not grow with the sample, and events of one group
 * get the same weight wherever they are (Chamandy et al., Estimating Uncertainty for Massive Data Streams, 2012).
 * models/l1models/report/bootstrap.py gives the same weights.
 */

/** Weight of each of 65536 equally likely values: the inverse of the Poisson(1) distribution at their middles. */
const WEIGHT_OF = poissonTable();

function poissonTable(): Uint8Array {
  const table = new Uint8Array(65536);
  let weight = 0;
  let term = Math.exp(-1);
  let cumulative = term;
  for (let value = 0; value < table.length; value++) {
    while (cumulative <= (value + 0.5) / 65536) {
      weight++;
      term /= weight;
      cumulative += term;
    }
    table[value] = weight;
  }
  return table;
}

/** A bijection of 32-bit words that mixes all bits ("lowbias32", C. Wellons, hash-prospector, 2018). */
function mix(word: number): number {
  let x = word;
  x ^= x >>> 16;
  x = Math.imul(x, 0x7feb352d);
  x ^= x >>> 15;
  x = Math.imul(x, 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** 32-bit FNV-1a of a name's UTF-8 bytes: keeps groups of one number in different samples apart. */
export function nameHash(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/**
 * Two 32-bit hashes of a group: the first draws its weights, both together tell it from every other one.
 *
 * @param group - an integer; beyond 2^53 the nearest double
 */
export function groupHashes(sampleHash: number, group: number): readonly [number, number] {
  const low = group >>> 0;
  const high = Math.floor(group / 2 ** 32) >>> 0;
  const first = mix(low ^ mix(high ^ mix(sampleHash)));
  return [first, mix(low + Math.imul(high, 0x9e3779b1) + first)];
}

export class PoissonWeights {
  readonly replicas: number;
  readonly #keys: Uint32Array;

  /** @param replicas - an even number: one hash draws the weights of two */
  constructor(replicas: number, seed: number) {
    this.replicas = replicas;
    const base = mix(seed);
    this.#keys = Uint32Array.from({ length: replicas / 2 }, (_, pair) => mix(base + Math.imul(pair, 0x9e3779b9)));
  }

  /** Write a group's weight in each replica, and after them the 1 that it has in the sample itself. */
  fill(group: number, weights: Uint8Array): void {
    const keys = this.#keys;
    for (let pair = 0; pair < keys.length; pair++) {
      const drawn = mix(group + keys[pair]!);
      weights[2 * pair] = WEIGHT_OF[drawn & 0xffff]!;
      weights[2 * pair + 1] = WEIGHT_OF[drawn >>> 16]!;
    }
    weights[2 * keys.length] = 1;
  }
}
