/**
 * One pass over a model's events from the highest score down gives AUC and efficiencies, of the sample and of every
 * bootstrap replica at once. All sums are of whole or half numbers, so they are exact and do not depend on the order.
 */
import { allowedEvents, nextFloat32 } from '../decide/threshold.js';
import { PoissonWeights } from '../sample/poisson-weights.js';
import { CLASS_MASK, ROW, TAKEN_ELSEWHERE, type ScoredSample } from '../sample/scored-sample.js';
import { byDescendingScore, scoreOfKey, SORTED } from '../sample/sorted.js';
import { htOf, MASS_CODES, massOf, HT_CODES } from './kinematics.js';

/** Per replica, and in the last place of the sample itself. */
type PerReplica = Float64Array;

/** Sums of weights of each class: what replicas are normalised to. */
export interface SampleTotals {
  readonly weights: PoissonWeights;
  readonly classes: readonly PerReplica[];
  /** Background events of each HT and mass code. */
  readonly ht: Float64Array;
  readonly mass: Float64Array;
}

export interface RateSweep {
  readonly background: number;
  /** Lowest background score that passes, or the next float32 above all where none may. */
  readonly threshold: number;
  readonly backgroundPassing: number;
  /** Of each signal: efficiency. */
  readonly efficiency: readonly PerReplica[];
  /** Of each signal: fraction of all its events that pass here and are not taken elsewhere. */
  readonly pure: readonly PerReplica[];
  /** Mean HT and mass [GeV] of the background events that pass; undefined without any. */
  readonly meanHt: number | undefined;
  readonly meanMass: number | undefined;
}

export interface Sweep {
  readonly auc: readonly PerReplica[];
  /** In the order of the rates asked for. */
  readonly rates: readonly RateSweep[];
  /** Spearman's rank correlation of score and HT or mass, background. */
  readonly spearmanHt: number;
  readonly spearmanMass: number;
  /** The highest background scores, falling. */
  readonly tail: Float32Array;
}

/** Sum every class's weights, and count the background's HT and mass. */
export function sampleTotals(sample: ScoredSample, replicas: number, seed: number): SampleTotals {
  const weights = new PoissonWeights(replicas, seed);
  const drawn = new Uint8Array(replicas + 1);
  const classes = sample.classes.map(() => new Float64Array(replicas + 1));
  const ht = new Float64Array(HT_CODES);
  const mass = new Float64Array(MASS_CODES);
  for (const { count, words } of sample.blocks()) {
    for (let event = 0; event < count; event++) {
      const row = event * sample.stride;
      const classNumber = words[row + ROW.tag]! & CLASS_MASK;
      weights.fill(words[row + ROW.group]!, drawn);
      addTo(classes[classNumber]!, drawn);
      if (classNumber !== 0) continue;
      ht[htOf(words[row + ROW.kinematics]!)]!++;
      mass[massOf(words[row + ROW.kinematics]!)]!++;
    }
  }
  return { weights, classes, ht, mass };
}

function addTo(sums: Float64Array, drawn: Uint8Array): void {
  for (let replica = 0; replica < sums.length; replica++) sums[replica]! += drawn[replica]!;
}

/**
 * @param scoreOf - score of the row at an offset; the sample's own column of a model, or one made from several
 * @param rates - background efficiencies, in any order
 * @param tailLength - how many of the highest background scores to keep
 */
export function sweep(
  sample: ScoredSample,
  totals: SampleTotals,
  scoreOf: (floats: Float32Array, row: number) => number,
  rates: readonly number[],
  tailLength: number,
): Sweep {
  return new Sweeper(sample, totals, rates, tailLength).run(scoreOf);
}

/** Events of equal score: they pass together, and count half against one another. */
class Sweeper {
  readonly #sample: ScoredSample;
  readonly #totals: SampleTotals;
  readonly #columns: number;
  readonly #signals: number;
  readonly #rates: readonly number[];
  /** Rates from the smallest up: places in `#rates`. */
  readonly #order: readonly number[];
  /** Background weight above the current score. */
  readonly #above: PerReplica;
  readonly #block: PerReplica;
  readonly #doubledPairs: PerReplica[];
  /** Weight of each signal above the current score, then the part of it that is not taken elsewhere. */
  readonly #passed: PerReplica[];
  /** The same of the current score alone, and down to the last background event. */
  readonly #blockSignal: PerReplica[];
  readonly #passedAtBackground: PerReplica[];
  readonly #crossed: Uint8Array;
  #open: number;
  readonly #efficiency: PerReplica[][];
  readonly #nominal: { threshold: number; passing: number; ht: number; mass: number }[];
  readonly #last = { threshold: NaN, passing: 0, ht: 0, mass: 0 };
  readonly #tail: Float32Array;
  #tailCount = 0;

  constructor(sample: ScoredSample, totals: SampleTotals, rates: readonly number[], tailLength: number) {
    this.#sample = sample;
    this.#totals = totals;
    this.#columns = totals.weights.replicas + 1;
    this.#signals = sample.classes.length - 1;
    this.#rates = rates;
    this.#order = rates.map((_, at) => at).sort((a, b) => rates[a]! - rates[b]!);
    const perReplica = (count: number): PerReplica[] =>
      Array.from({ length: count }, () => new Float64Array(this.#columns));
    [this.#above, this.#block] = perReplica(2) as [PerReplica, PerReplica];
    this.#blockSignal = perReplica(2 * this.#signals);
    this.#doubledPairs = perReplica(this.#signals);
    this.#passed = perReplica(2 * this.#signals);
    this.#passedAtBackground = perReplica(2 * this.#signals);
    this.#crossed = new Uint8Array(this.#columns);
    this.#open = this.#columns;
    this.#efficiency = rates.map(() => perReplica(2 * this.#signals));
    this.#nominal = rates.map(() => ({ threshold: NaN, passing: 0, ht: 0, mass: 0 }));
    this.#tail = new Float32Array(tailLength);
  }

  run(scoreOf: (floats: Float32Array, row: number) => number): Sweep {
    const { weights } = this.#totals;
    const drawn = new Uint8Array(this.#columns);
    const ranks = new RankCorrelations(this.#totals);
    const touched = new Set<number>();
    let key: number | undefined;
    let events = 0;
    const sums = { ht: 0, mass: 0 };
    for (const { words, at } of byDescendingScore(this.#sample, scoreOf)) {
      const current = words[at + SORTED.key]!;
      if (current !== key) {
        if (key !== undefined) this.#endBlock(key, events, sums, touched);
        ranks.endBlock();
        key = current;
        events = 0;
        touched.clear();
      }
      const tag = words[at + SORTED.tag]!;
      const signal = (tag & CLASS_MASK) - 1;
      weights.fill(words[at + SORTED.group]!, drawn);
      if (signal < 0) {
        events++;
        addTo(this.#block, drawn);
        const kinematics = words[at + SORTED.kinematics]!;
        ranks.add(kinematics);
        if (this.#open > 0) {
          sums.ht += htOf(kinematics);
          sums.mass += massOf(kinematics);
        }
        if (this.#tailCount < this.#tail.length) this.#tail[this.#tailCount++] = scoreOfKey(current);
      } else {
        touched.add(signal);
        addTo(this.#blockSignal[signal]!, drawn);
        if ((tag & TAKEN_ELSEWHERE) === 0) addTo(this.#blockSignal[this.#signals + signal]!, drawn);
      }
    }
    if (key !== undefined) this.#endBlock(key, events, sums, touched);
    ranks.endBlock();
    this.#closeRates();
    return this.#result(ranks);
  }

  #endBlock(key: number, events: number, sums: { ht: number; mass: number }, touched: ReadonlySet<number>): void {
    const { classes } = this.#totals;
    const [all] = classes;
    for (const signal of touched) {
      const weight = this.#blockSignal[signal]!;
      const pairs = this.#doubledPairs[signal]!;
      for (let replica = 0; replica < this.#columns; replica++) {
        if (weight[replica] === 0) continue;
        pairs[replica]! +=
          weight[replica]! * (2 * (all![replica]! - this.#above[replica]!) - (events > 0 ? this.#block[replica]! : 0));
      }
    }
    if (events > 0) {
      if (this.#open > 0) this.#cross(key, events, sums);
      for (let replica = 0; replica < this.#columns; replica++) this.#above[replica]! += this.#block[replica]!;
      this.#block.fill(0);
    }
    for (const signal of touched) {
      for (const column of [signal, this.#signals + signal]) {
        const block = this.#blockSignal[column]!;
        const passed = this.#passed[column]!;
        if (this.#open > 0) for (let at = 0; at < this.#columns; at++) passed[at]! += block[at]!;
        block.fill(0);
      }
    }
  }

  /** Close the rates that a block of background events would exceed, before it is added. */
  #cross(key: number, events: number, sums: { ht: number; mass: number }): void {
    const nominal = this.#columns - 1;
    const [all] = this.#totals.classes;
    for (let replica = 0; replica < this.#columns; replica++) {
      const block = this.#block[replica]!;
      if (block === 0) continue;
      const reached = this.#above[replica]! + block;
      while (this.#crossed[replica]! < this.#order.length) {
        const rate = this.#order[this.#crossed[replica]!]!;
        if (reached <= allowedEvents(this.#rates[rate]!, all![replica]!)) break;
        this.#close(rate, replica);
        if (replica === nominal) {
          const none = { threshold: nextFloat32(scoreOfKey(key)), passing: 0, ht: 0, mass: 0 };
          this.#nominal[rate] = this.#above[replica] === 0 ? none : { ...this.#last };
        }
        const crossed = ++this.#crossed[replica]!;
        if (crossed === this.#order.length) this.#open--;
      }
      if (this.#crossed[replica] === this.#order.length) continue;
      for (let column = 0; column < this.#passed.length; column++) {
        this.#passedAtBackground[column]![replica] =
          this.#passed[column]![replica]! + this.#blockSignal[column]![replica]!;
      }
    }
    Object.assign(this.#last, sums, { threshold: scoreOfKey(key), passing: this.#last.passing + events });
  }

  /** Signals pass down to the last background event that passes; where none does, all above the highest pass. */
  #close(rate: number, replica: number): void {
    const from = this.#above[replica]! > 0 ? this.#passedAtBackground : this.#passed;
    for (let column = 0; column < from.length; column++) {
      this.#efficiency[rate]![column]![replica] = from[column]![replica]!;
    }
  }

  /** Rates that all background events keep. */
  #closeRates(): void {
    for (let replica = 0; replica < this.#columns; replica++) {
      for (let place = this.#crossed[replica]!; place < this.#order.length; place++) {
        const rate = this.#order[place]!;
        for (let column = 0; column < this.#passed.length; column++) {
          this.#efficiency[rate]![column]![replica] = this.#passedAtBackground[column]![replica]!;
        }
        if (replica === this.#columns - 1) this.#nominal[rate] = { ...this.#last };
      }
    }
  }

  #result(ranks: RankCorrelations): Sweep {
    const [all, ...signals] = this.#totals.classes;
    const fraction = (part: PerReplica, signal: number): PerReplica =>
      part.map((passing, replica) => passing / signals[signal]![replica]!);
    return {
      auc: this.#doubledPairs.map((pairs, signal) =>
        pairs.map((doubled, replica) => doubled / 2 / (signals[signal]![replica]! * all![replica]!)),
      ),
      rates: this.#rates.map((background, at) => {
        const { threshold, passing, ht, mass } = this.#nominal[at]!;
        const columns = this.#efficiency[at]!;
        return {
          background,
          threshold,
          backgroundPassing: passing,
          efficiency: columns.slice(0, this.#signals).map(fraction),
          pure: columns.slice(this.#signals).map(fraction),
          meanHt: passing === 0 ? undefined : ht / 2 / passing,
          meanMass: passing === 0 ? undefined : mass / 2 / passing,
        };
      }),
      spearmanHt: ranks.ht,
      spearmanMass: ranks.mass,
      tail: this.#tail.subarray(0, this.#tailCount),
    };
  }
}

/** Spearman's correlations of the score with HT and mass: mid-ranks throughout, counted from the middle. */
class RankCorrelations {
  readonly #htRanks: Float64Array;
  readonly #massRanks: Float64Array;
  readonly #middle: number;
  #seen = 0;
  readonly #block: number[] = [];
  #scoreSquares = 0;
  #htProducts = 0;
  #massProducts = 0;
  readonly #htSquares: number;
  readonly #massSquares: number;

  constructor({ ht, mass }: SampleTotals) {
    const events = ht.reduce((sum, count) => sum + count, 0);
    this.#middle = (events + 1) / 2;
    this.#htRanks = midRanks(ht, this.#middle);
    this.#massRanks = midRanks(mass, this.#middle);
    this.#htSquares = squares(ht, this.#htRanks);
    this.#massSquares = squares(mass, this.#massRanks);
  }

  add(kinematics: number): void {
    this.#block.push(kinematics);
  }

  endBlock(): void {
    const count = this.#block.length;
    if (count === 0) return;
    const rank = this.#middle - (this.#seen + (count + 1) / 2);
    for (const kinematics of this.#block) {
      this.#htProducts += rank * this.#htRanks[htOf(kinematics)]!;
      this.#massProducts += rank * this.#massRanks[massOf(kinematics)]!;
    }
    this.#scoreSquares += count * rank * rank;
    this.#seen += count;
    this.#block.length = 0;
  }

  get ht(): number {
    return this.#htProducts / Math.sqrt(this.#scoreSquares * this.#htSquares);
  }

  get mass(): number {
    return this.#massProducts / Math.sqrt(this.#scoreSquares * this.#massSquares);
  }
}

function midRanks(counts: ArrayLike<number>, middle: number): Float64Array {
  let below = 0;
  return Float64Array.from(counts, (count) => {
    const rank = below + (count + 1) / 2 - middle;
    below += count;
    return rank;
  });
}

function squares(counts: ArrayLike<number>, ranks: Float64Array): number {
  return ranks.reduce((sum, rank, code) => sum + counts[code]! * rank * rank, 0);
}
