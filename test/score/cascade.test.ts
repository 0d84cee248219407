/**
 * A student in front of its teacher, with real models and workers: what the student rejects is rejected, and of all else
 * the teacher says, to the last bit, what it says without a student.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { AcceptedEvent } from '#nae/event/accepted-event.js';
import { VALUES_PER_EVENT } from '#nae/event/layout.js';
import { loadStudent } from '#nae/model/student.js';
import type { Path } from '#nae/score/menu.js';
import { REJECTED_SCORE } from '#nae/score/messages.js';

import { frameOf, framesOf, plausibleCodes } from '../pipeline/events.js';
import { allScores, path, records, runRecords, type MemoryRun } from '../pipeline/memory-stream.js';

const EVENTS = 1500;
const codes = plausibleCodes(EVENTS, 7);
const frames = [frameOf(codes)];
const bits = (scores: Float32Array): Int32Array => new Int32Array(scores.buffer, scores.byteOffset, scores.length);
/** The score that a fraction of the events reach. */
const reachedBy = (scores: Float32Array, fraction: number): number =>
  scores.toSorted()[Math.min(EVENTS - 1, Math.floor(EVENTS * (1 - fraction)))]!;

async function withStudent(teacher: Path, cut?: number): Promise<Path> {
  const student = await loadStudent(teacher.bundle);
  return { ...teacher, student: { ...student, cut: cut ?? student.cut } };
}

const scoresOf = async (one: Path): Promise<Float32Array> => allScores(await runRecords(records(frames), [one]));
const metric = async ({ metrics }: MemoryRun): Promise<number> =>
  (await metrics.studentRejected.get()).values.reduce((sum, { value }) => sum + value, 0);

for (const name of ['nae-events-s', 'nae-events-m']) {
  describe(name, async () => {
    const teacher = await path(name, Infinity);
    const { bundle: student, sha256 } = await loadStudent(teacher.bundle);
    const ofTeacher = await scoresOf(teacher);
    const ofStudent = await scoresOf({ name: 'student', bundle: student, threshold: Infinity });

    it('decides what survives as without its student, whatever cut, threshold, batches and workers', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.record({
            survivors: fc.constantFrom(0, 0.002, 0.01, 0.03, 0.3, 1),
            accepted: fc.constantFrom(0.002, 0.02, 0.5),
            workers: fc.integer({ min: 1, max: 2 }),
            batchEvents: fc.integer({ min: 1, max: 2048 }),
            inferenceRows: fc.constantFrom(64, 512, 1024),
            ends: fc.array(fc.integer({ min: 0, max: EVENTS }), { maxLength: 8 }),
          }),
          async ({ survivors, accepted, ends, ...options }) => {
            const cut = survivors === 0 ? Infinity : reachedBy(ofStudent, survivors);
            const threshold = reachedBy(ofTeacher, accepted);
            const cascade = await withStudent({ ...teacher, threshold }, cut);
            const sizes = [...ends, EVENTS].sort((a, b) => a - b).map((end, at, all) => end - (all[at - 1] ?? 0));
            const run = await runRecords(records(framesOf(codes, sizes)), [cascade], options);
            const expected = ofTeacher.map((score, row) => (ofStudent[row]! >= cut ? score : REJECTED_SCORE));
            expect(bits(allScores(run))).toEqual(bits(expected));
            expect(run.sink.accepted.map(({ paths: [decision] }) => decision!.score)).toEqual([
              ...expected.filter((score) => score >= threshold),
            ]);
            const rejected = ofStudent.filter((score) => score < cut).length;
            expect(await metric(run)).toBe(rejected);
            expect(run.pipeline.totals.summary().paths).toEqual([
              expect.objectContaining({ student: { sha256, cut }, rejected_by_student: rejected }),
            ]);
          },
        ),
        { numRuns: 12 },
      );
    });
  });
}

describe('a menu with and without students', async () => {
  const [one, other] = [await path('nae-events-s', 0, 'one'), await path('nae-events-m', 0, 'other')];
  const cut = reachedBy(await scoresOf({ ...one, bundle: (await loadStudent(one.bundle)).bundle }), 0.1);

  it('accepts for each path what it accepts alone, and says which student let it through', async () => {
    const menu = [
      await withStudent({ ...one, threshold: reachedBy(await scoresOf(one), 0.05) }, cut),
      { ...other, threshold: reachedBy(await scoresOf(other), 0.05) },
    ];
    const together = (await runRecords(records(frames), menu)).sink.accepted;
    const placed = (events: readonly AcceptedEvent[], name: string): unknown[] =>
      events.flatMap(({ index, paths }) => paths.filter(({ path: p }) => p === name).map((found) => [index, found]));
    for (const [at, { name }] of menu.entries()) {
      const alone = (await runRecords(records(frames), [menu[at]!])).sink.accepted;
      expect(alone.length).toBeGreaterThan(10);
      expect(placed(together, name)).toEqual(placed(alone, name));
    }
    const { sha256 } = menu[0]!.student!;
    for (const { paths } of together) {
      for (const decision of paths) {
        expect(decision.student).toEqual(decision.path === 'one' ? { sha256, cut } : undefined);
      }
    }
  });

  it('dead-letters what cannot be decided, rejected or not', async () => {
    const faulty = codes.slice();
    // An |eta| beyond the grid.
    for (const event of [3, 700, 1499]) faulty[event * VALUES_PER_EVENT + 19 + 1] = -512;
    for (const event of [3, 700, 1499]) faulty[event * VALUES_PER_EVENT + 1] = 50;
    const input = records([frameOf(faulty)]);
    const letters = async (menu: readonly Path[]): Promise<unknown[]> =>
      (await runRecords(input, menu)).sink.deadLetters.map(({ index, reason }) => [index, reason]);
    const expected = await letters([{ ...one, threshold: Infinity }]);
    expect(expected).toHaveLength(3);
    const cascade = await withStudent({ ...one, threshold: 1e9 }, Infinity);
    expect(await letters([cascade])).toEqual(expected);
    expect(await metric(await runRecords(input, [cascade]))).toBe(EVENTS - 3);
  });

  it('is refused with a threshold that accepts everything', async () => {
    const cascade = await withStudent({ ...one, threshold: -Infinity });
    await expect(runRecords(records(frames), [cascade])).rejects.toThrow(/accepts what its student rejects/);
  });
});
