/**
 * What a cascade loses: events that a model accepts, at its thresholds for the background efficiencies, and that its
 * student rejects before the model sees them.
 */
import { binomialInterval } from '../decide/intervals.js';
import type { DecidingStudent } from '../event/accepted-event.js';
import { CLASS_MASK, ROW, type ScoredSample } from '../sample/scored-sample.js';
import type { Evaluated, SampleStatistics } from './evaluate.js';

interface LossAt {
  /** Background efficiency of the model alone. */
  readonly background: number;
  readonly threshold: number;
  /** Events that the model alone accepts, and those of them that the student rejects. */
  readonly accepted: number;
  readonly lost: number;
  /** Lost over accepted, with its exact binomial 95 % interval for the effective events; null where none is accepted. */
  readonly fraction: { readonly lost: number; readonly low: number; readonly high: number } | null;
  /** Of all events of the class: the efficiency of the cascade. */
  readonly efficiency: number;
}

/** Result for one model, as `--json` writes it. */
export interface CascadeResult {
  readonly model: string;
  readonly student_sha256: string;
  readonly student_cut: number;
  /** Fraction of the background that reaches the cut: what the model has to score. */
  readonly background_surviving: number;
  readonly background: readonly LossAt[];
  readonly signals: readonly { readonly name: string; readonly losses: readonly LossAt[] }[];
}

/** Places of a model's and its student's scores among those of a sample. */
export interface CascadeColumns {
  readonly model: number;
  readonly student: number;
}

export function evaluateCascade(
  sample: ScoredSample,
  { effective }: SampleStatistics,
  { result, sweep }: Evaluated,
  columns: CascadeColumns,
  student: DecidingStudent,
): CascadeResult {
  const counts = sample.classes.map(() => ({
    surviving: 0,
    rates: sweep.rates.map(() => ({ accepted: 0, lost: 0 })),
  }));
  for (const { count, words, floats } of sample.blocks()) {
    for (let event = 0; event < count; event++) {
      const row = event * sample.stride;
      const score = floats[row + ROW.scores + columns.model]!;
      // As in the worker: a student's score that is not finite rejects nothing.
      const isRejected = floats[row + ROW.scores + columns.student]! < student.cut;
      const counted = counts[words[row + ROW.tag]! & CLASS_MASK]!;
      if (!isRejected) counted.surviving++;
      for (const [at, { threshold }] of sweep.rates.entries()) {
        if (score < threshold) continue;
        counted.rates[at]!.accepted++;
        if (isRejected) counted.rates[at]!.lost++;
      }
    }
  }
  const lossesOf = (classNumber: number): LossAt[] => {
    const { events } = sample.classes[classNumber]!;
    const worth = effective[classNumber]! / events;
    return sweep.rates.map(({ background, threshold }, at) => {
      const { accepted, lost } = counts[classNumber]!.rates[at]!;
      const fraction =
        accepted === 0 ? null : { lost: lost / accepted, ...binomialInterval(lost * worth, accepted * worth) };
      return { background, threshold, accepted, lost, fraction, efficiency: (accepted - lost) / events };
    });
  };
  const [background, ...signals] = sample.classes;
  return {
    model: result.model,
    student_sha256: student.sha256,
    student_cut: student.cut,
    background_surviving: counts[0]!.surviving / background!.events,
    background: lossesOf(0),
    signals: signals.map(({ name }, at) => ({ name, losses: lossesOf(at + 1) })),
  };
}
