/** Another menu for a running stream: every frame is decided once, wholly by the menu that was there when it came. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { MenuReloads } from '#nae/cli/menu-reloads.js';
import { openPaths } from '#nae/cli/models.js';
import type { AcceptedEvent } from '#nae/event/accepted-event.js';
import { DEFAULT_FRAME_LIMITS } from '#nae/event/frame.js';
import { Pipeline } from '#nae/pipeline/pipeline.js';
import type { Path } from '#nae/score/menu.js';
import { ScorePool } from '#nae/score/score-pool.js';
import type { Intake, SourceRecord } from '#nae/source/source.js';
import { Happenings } from '#nae/telemetry/happenings.js';
import { silentLogger } from '#nae/telemetry/logger.js';
import { Metrics } from '#nae/telemetry/metrics.js';

import { framesOf, plausibleCodes } from './events.js';
import { MemorySink, MemorySource, path, records, runRecords } from './memory-stream.js';

const EVENTS = 600;
const codes = plausibleCodes(EVENTS, 5);

/** Frames of any sizes that hold all events. */
const sizes = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 40 }).map((wanted) => {
  const cut: number[] = [];
  let left = EVENTS;
  for (const size of wanted) {
    cut.push(Math.min(size, left));
    left -= cut.at(-1)!;
  }
  return [...cut, left].filter((size) => size > 0);
});

const open = (paths: readonly Path[], generation: number, workers: number): Promise<ScorePool> =>
  ScorePool.start({
    paths,
    generation,
    workers,
    device: { kind: 'cpu' },
    quantisation: 'hw32',
    batchEvents: 128,
    inferenceRows: 64,
  });

/** Calls back before a frame is offered. */
class WatchedSource extends MemorySource {
  readonly #before: (number: number) => void;

  constructor(of: readonly SourceRecord[], before: (number: number) => void) {
    super(of);
    this.#before = before;
  }

  override run(intake: Intake, stop: AbortSignal): Promise<void> {
    const offer = (record: SourceRecord): Promise<void> | undefined => {
      this.#before(Number(record.position.offset));
      return intake.offer(record);
    };
    return super.run({ offer, idle: intake.idle.bind(intake) }, stop);
  }
}

const decided = ({ position, index, paths }: AcceptedEvent): string =>
  JSON.stringify([Number(position.offset), index, paths]);

describe('a menu change', async () => {
  // Of one name, so that only model and threshold tell them apart; and a menu with more paths than the first.
  const menus: readonly (readonly Path[])[] = [
    [await path('ae-events-s', 0.05, 'p')],
    [await path('nae-events-s', 0.3, 'p')],
    [await path('ae-events-s', 0.1, 'p'), await path('nae-events-s', 0.2, 'q')],
  ];

  // What each menu makes of the events by itself, in one frame.
  const alone: (readonly AcceptedEvent[])[] = [];
  for (const paths of menus) alone.push((await runRecords(records(framesOf(codes, [EVENTS])), paths)).sink.accepted);

  it('leaves earlier frames to the former menu and gives later ones to the new, whatever the frames', async () => {
    await fc.assert(
      fc.asyncProperty(
        sizes,
        fc.integer({ min: 1, max: 2 }),
        fc.nat(),
        fc.nat(),
        fc.constantFrom(4_000, 64 * 1024 * 1024),
        async (cut, workers, one, other, maxInFlightBytes) => {
          const input = records(framesOf(codes, cut));
          const at = [one % input.length, other % input.length].sort((a, b) => a - b);
          const pools = await Promise.all(menus.map((paths, number) => open(paths, number + 1, workers)));
          const changes: Promise<ScorePool>[] = [];
          const source = new WatchedSource(input, (number) => {
            while (changes.length < 2 && at[changes.length] === number) {
              changes.push(pipeline.takeMenu(pools[changes.length + 1]!));
            }
          });
          const sink = new MemorySink();
          const metrics = new Metrics();
          const pipeline = new Pipeline(source, pools[0]!, sink, new Happenings(silentLogger(), metrics), {
            limits: DEFAULT_FRAME_LIMITS,
            maxInFlightBytes,
            maxBatchDelayMs: 1,
          });
          try {
            await pipeline.run(new AbortController().signal);
            // A former menu's workers have nothing left to do and may end.
            expect(await Promise.all(changes)).toEqual(pools.slice(0, 2));
          } finally {
            await Promise.all(pools.map((pool) => pool.close()));
          }
          const frameOfEvent = cut.flatMap((size, frame) => new Array<number>(size).fill(frame));
          const menuOf = (frame: number): number => at.filter((place) => place <= frame).length;
          const expected = alone
            .flatMap((events, menu) => events.filter(({ index }) => menuOf(frameOfEvent[index]!) === menu))
            .sort((a, b) => a.index - b.index);
          const places = expected.map(({ index, paths }) => {
            const frame = frameOfEvent[index]!;
            return JSON.stringify([frame, index - frameOfEvent.indexOf(frame), paths]);
          });
          expect(sink.accepted.map(decided)).toEqual(places);
          expect(source.acknowledged.map(({ position }) => Number(position.offset))).toEqual([...input.keys()]);
          const { events, paths } = pipeline.totals.summary();
          expect(events).toMatchObject({ received: EVENTS, accepted: expected.length, faults: 0 });
          expect(paths.reduce((sum, { accepted }) => sum + accepted, 0)).toBe(
            expected.reduce((sum, event) => sum + event.paths.length, 0),
          );
          const generation = await metrics.menuGeneration.get();
          expect(generation.values[0]!.value).toBe(3);
        },
      ),
      { numRuns: 12 },
    );
  }, 180_000);

  it('comes on SIGHUP; a bundle that is refused leaves the running menu as it is', async () => {
    const input = records(framesOf(codes, [150, 150, 150, 150]));
    const metrics = new Metrics();
    const happenings = new Happenings(silentLogger(), metrics);
    const first = await open(menus[0]!, 1, 1);
    const asked: number[] = [];
    const outcomes = async (): Promise<Record<string, number>> =>
      Object.fromEntries<number>(
        (await metrics.menuChanges.get()).values.map(({ labels, value }) => [String(labels.outcome), value]),
      );
    const source = new MemorySource(input);
    const offers = source.run.bind(source);
    // Frames 0; a bundle that does not exist; 1; a good one; 2 and 3.
    source.run = (intake, stop) => {
      const offer = async (record: SourceRecord): Promise<void> => {
        const number = Number(record.position.offset);
        if (number === 1 || number === 2) {
          process.emit('SIGHUP');
          const known = number === 1 ? { refused: 1 } : { refused: 1, taken: 1 };
          await expect.poll(outcomes, { timeout: 30_000 }).toEqual(known);
        }
        await intake.offer(record);
      };
      return offers({ offer, idle: intake.idle.bind(intake) }, stop);
    };
    const sink = new MemorySink();
    const pipeline = new Pipeline(source, first, sink, happenings, {
      limits: DEFAULT_FRAME_LIMITS,
      maxInFlightBytes: 64 * 1024 * 1024,
      maxBatchDelayMs: 1,
    });
    const reloads = new MenuReloads(pipeline, first, happenings, async (generation) => {
      asked.push(generation);
      if (asked.length > 1) return open(menus[1]!, generation, 1);
      await openPaths({ model: ['no-such-bundle'], targetRate: undefined, threshold: undefined, quantise: 'hw32' });
      throw new Error('expected a refusal');
    });
    await pipeline.run(new AbortController().signal);
    await reloads.close();
    expect(process.listenerCount('SIGHUP')).toBe(0);
    expect(asked).toEqual([2, 2]);
    const expected = alone.flatMap((events, menu) =>
      events.filter(({ index }) => menu === (index < 300 ? 0 : 1)).map(({ index, paths }) => [index, paths]),
    );
    expect(sink.accepted.map(({ position, index, paths }) => [150 * Number(position.offset) + index, paths])).toEqual(
      expected,
    );
  }, 90_000);
});
