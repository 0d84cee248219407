/**
 * The same event gives the same bits whatever its row, its batch, its frame or the worker; and another event
 * gives others. The last part are faults that emulators have had: objects in the wrong slot, eta and phi mixed up
 * (cmssw 47564), truncated pT (cmssw 49753), every crossing given the first one's score (cmssw 48142).
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { OBJECTS_PER_EVENT, VALUES_PER_EVENT } from '#nae/event/layout.js';

import { frameOf, framesOf, plausibleCodes } from '../pipeline/events.js';
import { allScores, path, records, runRecords } from '../pipeline/memory-stream.js';

const EVENTS = 1500;
const codes = plausibleCodes(EVENTS, 5);
const bits = (scores: Float32Array): Int32Array => new Int32Array(scores.buffer, scores.byteOffset, scores.length);

for (const bundle of ['ae-events-s', 'nae-events-m']) {
  describe(`scores of ${bundle}`, async () => {
    const model = await path(bundle, Infinity);
    const reference = bits(allScores(await runRecords(records([frameOf(codes)]), [model], { inferenceRows: 1024 })));

    it('do not depend on workers, frame sizes, slots or inference rows', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.record({
            workers: fc.integer({ min: 1, max: 3 }),
            batchEvents: fc.integer({ min: 1, max: 4096 }),
            inferenceRows: fc.constantFrom(64, 128, 512, 1024, 4096),
            cuts: fc.array(fc.integer({ min: 0, max: EVENTS }), { maxLength: 12 }),
          }),
          async ({ cuts, ...options }) => {
            const ends = [...cuts, EVENTS].sort((a, b) => a - b);
            const sizes = ends.map((end, at) => end - (ends[at - 1] ?? 0));
            const run = await runRecords(records(framesOf(codes, sizes)), [model], options);
            expect(bits(allScores(run))).toEqual(reference);
          },
        ),
        { numRuns: 6 },
      );
    });

    it('do not depend on the row', async () => {
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 1, max: EVENTS - 1 }), async (shift) => {
          const at = shift * VALUES_PER_EVENT;
          const rolled = Int16Array.from([...codes.subarray(at), ...codes.subarray(0, at)]);
          const scores = bits(
            allScores(await runRecords(records([frameOf(rolled)]), [model], { inferenceRows: 1024 })),
          );
          expect(scores.subarray(0, EVENTS - shift)).toEqual(reference.subarray(shift));
          expect(scores.subarray(EVENTS - shift)).toEqual(reference.subarray(0, shift));
        }),
        { numRuns: 4 },
      );
    });
  });
}

describe('other events have other scores', async () => {
  const model = await path('nae-events-m', Infinity);
  const few = codes.subarray(0, 64 * VALUES_PER_EVENT);
  const scoresOf = async (of: Int16Array): Promise<Float32Array> =>
    allScores(await runRecords(records([frameOf(of)]), [model]));
  const reference = await scoresOf(few);
  /** The 64 events with each event's planar codes changed. */
  const changed = (change: (event: Int16Array) => void): Int16Array => {
    const copy = Int16Array.from(few);
    for (let row = 0; row < copy.length; row += VALUES_PER_EVENT) change(copy.subarray(row, row + VALUES_PER_EVENT));
    return copy;
  };
  const swap = (event: Int16Array, a: number, b: number): void => {
    [event[a], event[b]] = [event[b]!, event[a]!];
  };
  const differing = (scores: Float32Array): number =>
    scores.filter((score, event) => score !== reference[event]).length;

  it('objects in another slot', async () => {
    const permuted = changed((event) => {
      for (let value = 0; value < 3; value++)
        swap(event, value * OBJECTS_PER_EVENT + 1, value * OBJECTS_PER_EVENT + 12);
    });
    const moved = Array.from({ length: 64 }, (_, event) => event * VALUES_PER_EVENT).filter(
      (row) => permuted[row + 1] !== few[row + 1] || permuted[row + 12] !== few[row + 12],
    );
    expect(moved.length).toBeGreaterThan(32);
    expect(differing(await scoresOf(permuted))).toBe(moved.length);
  });

  it('eta and phi swapped', async () => {
    const swapped = changed((event) => {
      for (let slot = 1; slot < OBJECTS_PER_EVENT; slot++) {
        const eta = event[OBJECTS_PER_EVENT + slot]!;
        event[OBJECTS_PER_EVENT + slot] = event[2 * OBJECTS_PER_EVENT + slot]!;
        event[2 * OBJECTS_PER_EVENT + slot] = Math.min(287, Math.max(-288, eta));
      }
    });
    expect(differing(await scoresOf(swapped))).toBe(64);
  });

  it('pT truncated to whole GeV', async () => {
    const odd = changed((event) => {
      event[0] = event[0]! | 1;
    });
    const truncated = changed((event) => {
      event[0] = event[0]! & ~1;
    });
    const before = await scoresOf(odd);
    const after = await scoresOf(truncated);
    expect(before.filter((score, event) => score !== after[event])).toHaveLength(64);
  });

  it('every crossing its own', () => {
    expect(new Set(reference).size).toBe(64);
  });
});
