/** Samples of given scores, for tests of what is computed from them. */
import { evaluate, statisticsOf, type Evaluated, type EvaluationOptions } from '#nae/evaluate/evaluate.js';
import { ScoredSample } from '#nae/sample/scored-sample.js';

export interface ClassScores {
  readonly name: string;
  /** float32 [models, events]. */
  readonly scores: Float32Array;
  readonly groups?: readonly number[];
}

/** A sample of the background (name '') and of signals; kinematics count up. */
export function sampleOf(models: number, classes: readonly ClassScores[]): ScoredSample {
  const sample = new ScoredSample(models);
  for (const { name, scores, groups } of classes) {
    const number = sample.classOf(name);
    sample.classes[number]!.grouped = groups !== undefined;
    const events = scores.length / models;
    for (let event = 0; event < events; event++) {
      sample.add(number, groups?.[event] ?? event, event % 1000, event % 2 === 1, scores, events, event);
    }
  }
  return sample;
}

export const OPTIONS: EvaluationOptions = { replicas: 200, seed: 1, pure: false, tailLength: 0 };

/** Evaluate one model's scores. */
export function evaluationOf(classes: readonly ClassScores[], options: Partial<EvaluationOptions> = {}): Evaluated {
  const sample = sampleOf(1, classes);
  try {
    const all = { ...OPTIONS, ...options };
    return evaluate('m', 0, sample, statisticsOf(sample, all), all);
  } finally {
    sample.close();
  }
}
