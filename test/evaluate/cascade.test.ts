import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { binomialInterval } from '#nae/decide/intervals.js';
import { evaluateCascade, type CascadeResult } from '#nae/evaluate/cascade.js';
import { evaluate, statisticsOf, type Evaluated } from '#nae/evaluate/evaluate.js';

import { OPTIONS, sampleOf, type ClassScores } from './samples.js';

const STUDENT = { sha256: 'of the student', cut: 3 };

/** Evaluate samples of two models: the teacher first, its student second. */
function evaluated(classes: readonly ClassScores[]): { alone: Evaluated; cascade: CascadeResult } {
  const sample = sampleOf(2, classes);
  try {
    const statistics = statisticsOf(sample, OPTIONS);
    const alone = evaluate('teacher', 0, sample, statistics, OPTIONS);
    return { alone, cascade: evaluateCascade(sample, statistics, alone, { model: 0, student: 1 }, STUDENT) };
  } finally {
    sample.close();
  }
}

/** Teacher's and student's score of each event, as the sample takes them. */
const scoresOf = (events: readonly (readonly [teacher: number, student: number])[]): Float32Array =>
  Float32Array.from([...events.map(([teacher]) => teacher), ...events.map(([, student]) => student)]);

describe('what a cascade loses', () => {
  const event = fc.tuple(fc.nat(20), fc.oneof(fc.nat(6), fc.constantFrom(NaN, Infinity, -Infinity)));

  it('is counted at the thresholds of the teacher alone; a score that is not finite rejects nothing', () => {
    fc.assert(
      fc.property(
        // Enough background for two of the three efficiencies to accept some of it.
        fc.array(event, { minLength: 1, maxLength: 30 }),
        fc.array(event, { minLength: 1, maxLength: 40 }),
        (repeated, signal) => {
          const background = Array.from({ length: 20_000 }, (_, at) => repeated[at % repeated.length]!);
          const { alone, cascade } = evaluated([
            { name: '', scores: scoresOf(background) },
            { name: 's', scores: scoresOf(signal) },
          ]);
          const survives = ([, student]: readonly [number, number]): boolean => !(student < STUDENT.cut);
          expect(cascade).toMatchObject({ model: 'teacher', student_sha256: STUDENT.sha256, student_cut: STUDENT.cut });
          expect(cascade.background_surviving).toBe(background.filter(survives).length / background.length);
          for (const [events, losses] of [
            [background, cascade.background],
            [signal, cascade.signals[0]!.losses],
          ] as const) {
            for (const [at, { threshold, background: rate }] of alone.sweep.rates.entries()) {
              const accepted = events.filter(([teacher]) => teacher >= threshold);
              const kept = accepted.filter(survives);
              const lost = accepted.length - kept.length;
              expect(losses[at]).toEqual({
                background: rate,
                threshold,
                accepted: accepted.length,
                lost,
                fraction:
                  accepted.length === 0
                    ? null
                    : { lost: lost / accepted.length, ...binomialInterval(lost, accepted.length) },
                efficiency: kept.length / events.length,
              });
            }
          }
        },
      ),
      { numRuns: 20 },
    );
  });

  it('is known less well where events share a parton event', () => {
    const background = Array.from({ length: 1000 }, () => [0, 5] as const);
    // Half of what the teacher accepts is lost.
    const signal = Array.from({ length: 400 }, (_, at) => [9, at % 8 < 4 ? 0 : 5] as const);
    const interval = (groups?: number[]) => {
      const { cascade } = evaluated([
        { name: '', scores: scoresOf(background) },
        { name: 's', scores: scoresOf(signal), ...(groups === undefined ? {} : { groups }) },
      ]);
      return cascade.signals[0]!.losses[0]!.fraction!;
    };
    const apart = interval();
    const shared = interval(Array.from({ length: 400 }, (_, at) => Math.floor(at / 4)));
    expect(apart.lost).toBe(0.5);
    expect(shared.lost).toBe(0.5);
    // Four to a parton event are worth one: intervals twice as wide.
    const ratio = (shared.high - shared.low) / (apart.high - apart.low);
    expect(ratio).toBeGreaterThan(1.8);
    expect(ratio).toBeLessThan(2.2);
  });
});
