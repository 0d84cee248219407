/** Another menu for a running stream: every frame is decided once, wholly by the menu that its place says. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { ShadowBand } from '#nae/decide/shadow-comparison.js';
import type { AcceptedEvent } from '#nae/event/accepted-event.js';
import { encodeFrame } from '#nae/event/frame.js';
import { parseSwapPoint, type SwapPoint } from '#nae/event/swap-point.js';
import type { MenuChange, MenuChangeReport } from '#nae/pipeline/menu-change.js';
import type { Path } from '#nae/score/menu.js';
import type { Claim, SourceRecord } from '#nae/source/source.js';
import { ClaimEnded } from '#nae/errors.js';

import { framesOf, plausibleCodes } from './events.js';
import { openMenu, streamed } from './menu-stream.js';
import { allScores, MemorySink, path, record, records, runRecords } from './memory-stream.js';

const EVENTS = 600;
const codes = plausibleCodes(EVENTS, 5);
const NO_SHADOW = { shadowEvents: 0, band: { kind: 'none' } as ShadowBand, expectedRatio: 1 };

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

const decided = ({ position, index, paths }: AcceptedEvent): string =>
  JSON.stringify([Number(position.offset), index, paths]);

const at = (text: string): SwapPoint => parseSwapPoint(text)!;

describe('a menu change', async () => {
  // Each path accepts a quarter of the events, or an eighth.
  const cut = async (bundle: string, fraction: number, name: string): Promise<Path> => {
    const open = await path(bundle, 0, name);
    const scores = allScores(await runRecords(records(framesOf(codes, [EVENTS])), [open])).sort();
    return { ...open, threshold: scores[Math.round((1 - fraction) * EVENTS)]! };
  };
  // Of one name, so that only model and threshold tell them apart; and a menu with more paths than the first.
  const menus: readonly (readonly Path[])[] = [
    [await cut('ae-events-s', 1 / 4, 'p')],
    [await cut('nae-events-s', 1 / 4, 'p')],
    [await cut('ae-events-s', 1 / 8, 'p'), await cut('nae-events-s', 1 / 8, 'q')],
  ];

  // What each menu makes of the events by itself, in one frame.
  const alone: (readonly AcceptedEvent[])[] = [];
  for (const paths of menus) alone.push((await runRecords(records(framesOf(codes, [EVENTS])), paths)).sink.accepted);

  it('is told from the first by what it accepts', () => {
    for (const events of alone) expect(events.length).toBeGreaterThan(EVENTS / 10);
  });

  /** What is to come of equal frames, by the menu of each, in the order of frames. */
  const expectedOf = (frameEvents: number, menuOf: (frame: number) => number): string[] =>
    alone
      .flatMap((events, menu) => events.filter(({ index }) => menuOf(Math.floor(index / frameEvents)) === menu))
      .sort((a, b) => a.index - b.index)
      .map(({ index, paths }) => JSON.stringify([Math.floor(index / frameEvents), index % frameEvents, paths]));

  it('leaves earlier frames to the former menu and gives later ones to the new, whatever the frames', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, fc.integer({ min: 1, max: 2 }), fc.nat(), fc.nat(), async (cut, workers, one, other) => {
        const input = records(framesOf(codes, cut));
        const places = [one % input.length, other % input.length].sort((a, b) => a - b);
        const pools = await Promise.all(menus.map((paths, number) => openMenu(paths, number + 1, { workers })));
        const changes: MenuChange[] = [];
        const { sink, source, pipeline, metrics } = await streamed(input, pools, async (number, running) => {
          while (places[changes.length] === number) {
            // One at a time: the former is let go of once its frames are durable.
            await changes.at(-1)?.retired;
            changes.push(running.changeMenu(pools[changes.length + 1]!, { ...NO_SHADOW, at: at('next-frame') }));
          }
        });
        const retired = await Promise.all(changes.map((change) => change.retired));
        expect(retired.map(({ pool }) => pool)).toEqual(pools.slice(0, 2));
        const frameOfEvent = cut.flatMap((size, frame) => new Array<number>(size).fill(frame));
        const menuOf = (frame: number): number => places.filter((place) => place <= frame).length;
        const expected = alone
          .flatMap((events, menu) => events.filter(({ index }) => menuOf(frameOfEvent[index]!) === menu))
          .sort((a, b) => a.index - b.index);
        const inFrames = expected.map(({ index, paths }) => {
          const frame = frameOfEvent[index]!;
          return JSON.stringify([frame, index - frameOfEvent.indexOf(frame), paths]);
        });
        expect(sink.accepted.map(decided)).toEqual(inFrames);
        expect(source.acknowledged.map(({ position }) => Number(position.offset))).toEqual([...input.keys()]);
        const { events, paths } = pipeline.totals.summary();
        expect(events).toMatchObject({ received: EVENTS, accepted: expected.length, faults: 0 });
        expect(paths.reduce((sum, { accepted }) => sum + accepted, 0)).toBe(
          expected.reduce((sum, event) => sum + event.paths.length, 0),
        );
        expect((await metrics.menuGeneration.get()).values[0]!.value).toBe(3);
      }),
      { numRuns: 6 },
    );
  }, 180_000);

  describe('at a stated place', () => {
    const FRAME = 50;
    // Run 1 has sections 0 and 1, run 2 sections 0 and 1, of three frames each; orbits count by 10.
    const placed = framesOf(codes, new Array<number>(EVENTS / FRAME).fill(FRAME)).map((frame, number) => ({
      ...frame,
      run: number < 6 ? 1 : 2,
      luminositySection: Math.floor(number / 3) % 2,
      orbit: number * 10,
    }));

    it.each([
      ['offsets:0=7', 7],
      ['section:1/1', 3],
      ['section:2/0', 6],
      ['next-section', 3],
      ['orbit:1/40', 4],
      ['orbit:1/41', 5],
      ['orbit:2/0', 6],
      ['orbit:2/95', 10],
    ])('%s begins with frame %i', async (text, first) => {
      const pools = [await openMenu(menus[0]!, 1), await openMenu(menus[1]!, 2)];
      let change: MenuChange | undefined;
      const { sink } = await streamed(records(placed), pools, (number, running) => {
        if (number === 2) change = running.changeMenu(pools[1]!, { ...NO_SHADOW, at: at(text) });
        return undefined;
      });
      expect(sink.accepted.map(decided)).toEqual(expectedOf(FRAME, (frame) => (frame < first ? 0 : 1)));
      expect(await change!.settled).toMatchObject({
        outcome: 'taken',
        swap_at: text,
        began: [{ source: 'memory', partition: 0, offset: String(first) }],
      });
    });

    it.each([
      ['offsets:0=3', /still to come .* received 3 for partition 0, which is at 4/],
      ['offsets:1=30', /offset for every partition .* received none for 0/],
      ['section:1/1', /still to come .* run 1, section 1, orbit 40/],
      ['orbit:1/40', /still to come/],
    ])('that has passed, %s, it is refused', async (text, reason) => {
      const pools = [await openMenu(menus[0]!, 1), await openMenu(menus[1]!, 2)];
      let report: MenuChangeReport | undefined;
      const { sink } = await streamed(records(placed), pools, async (number, running) => {
        if (number !== 5) return;
        report = await running.changeMenu(pools[1]!, { ...NO_SHADOW, at: at(text) }).settled;
      });
      expect(report).toMatchObject({ outcome: 'refused', began: [] });
      expect(report!.reason).toMatch(reason);
      expect(sink.accepted.map(decided)).toEqual(expectedOf(FRAME, () => 0));
    });

    it('takes partitions one by one; a change that is not reached ends with the stream', async () => {
      const of = (text: string, partitions: number) => async (): Promise<[MenuChangeReport, string[]]> => {
        const pools = [await openMenu(menus[0]!, 1), await openMenu(menus[1]!, 2)];
        // Frames go round the partitions: frame 4 of partition 1 is its offset 2, and so on.
        const input = placed.map((frame, number) =>
          record(encodeFrame(frame), Math.floor(number / partitions), number % partitions),
        );
        let change: MenuChange | undefined;
        let mid: MenuChangeReport | undefined;
        const { sink } = await streamed(input, pools, (number, running) => {
          if (number === 2) change = running.changeMenu(pools[1]!, { ...NO_SHADOW, at: at(text) });
          if (number === 7) mid = change!.report();
          return undefined;
        });
        const report = await change!.settled;
        return [{ ...report, awaited: mid!.awaited }, sink.accepted.map(decided)];
      };
      const [report, accepted] = await of('offsets:0=2,1=5', 2)();
      const expected = alone
        .flatMap((events, menu) =>
          events.map((event) => {
            const number = Math.floor(event.index / FRAME);
            const [partition, offset] = [number % 2, Math.floor(number / 2)];
            const takes = offset >= (partition === 0 ? 2 : 5) ? 1 : 0;
            return takes === menu ? JSON.stringify([offset, event.index % FRAME, event.paths]) : undefined;
          }),
        )
        .filter((one) => one !== undefined);
      expect([...accepted].sort()).toEqual(expected.sort());
      expect(report).toMatchObject({ outcome: 'taken', awaited: [1] });
      expect(report.began.map(({ partition, offset }) => [partition, offset])).toEqual([
        [0, '2'],
        [1, '5'],
      ]);
      const [never, all] = await of('section:3/0', 1)();
      expect(never).toMatchObject({
        outcome: 'refused',
        reason: expect.stringContaining('the stream ended') as string,
      });
      expect(all).toEqual(expectedOf(FRAME, () => 0));
    });

    it('gives frames that are read again to the menu that they had', async () => {
      const pools = [await openMenu(menus[0]!, 1), await openMenu(menus[1]!, 2)];
      // Frames 2 to 4 are given up, after the swap at 5 was asked for, and come again with another claim.
      const claims: { held: boolean }[] = [{ held: true }, { held: true }];
      const claimed = (frame: number, claim: Claim): SourceRecord => ({
        ...record(encodeFrame(placed[frame]!), frame),
        claim,
      });
      const input = [0, 1, 2, 3, 4, 5, 6].map((frame) => claimed(frame, claims[0]!));
      const again = Array.from({ length: placed.length - 2 }, (_, frame) => claimed(frame + 2, claims[1]!));
      let written = 0;
      const sink = new MemorySink(({ claim, last }) => {
        if (claim === claims[0] && written + 1 > 1) {
          claims[0]!.held = false;
          return Promise.reject(new ClaimEnded());
        }
        written++;
        expect(Number(last!.offset)).toBeGreaterThanOrEqual(0);
        return Promise.resolve();
      });
      let change: MenuChange | undefined;
      const { source } = await streamed(
        [...input, ...again],
        pools,
        async (number, running) => {
          if (number === 1) change = running.changeMenu(pools[1]!, { ...NO_SHADOW, at: at('offsets:0=5') });
          // The former menu is kept for the frames that were given up.
          if (number === input.length) {
            await expect.poll(() => written, { timeout: 10_000 }).toBe(1);
            await expect.poll(() => claims[0]!.held, { timeout: 10_000 }).toBe(false);
            expect(change!.report().state).toBe('retiring');
          }
        },
        sink,
      );
      expect(sink.accepted.map(decided)).toEqual(expectedOf(FRAME, (frame) => (frame < 5 ? 0 : 1)));
      expect(source.acknowledged.map(({ position }) => Number(position.offset))).toEqual([...placed.keys()]);
      expect((await change!.retired).pool).toBe(pools[0]);
    });
  });

  describe('is scored beside the running menu first', async () => {
    const FRAME = 100;
    const many = plausibleCodes(6000, 11);
    const input = records(framesOf(many, new Array<number>(60).fill(FRAME)));

    /** Ask for a change with frame 5; what becomes of it, and what was accepted. */
    async function shadowed(
      paths: readonly Path[],
      band: ShadowBand,
      shadowEvents = 1500,
    ): Promise<{ report: MenuChangeReport; accepted: readonly AcceptedEvent[]; counted: number }> {
      const pools = [await openMenu(menus[0]!, 1), await openMenu(paths, 2)];
      let change: MenuChange | undefined;
      const { sink, metrics } = await streamed(input, pools, async (number, running) => {
        if (number === 5)
          change = running.changeMenu(pools[1]!, { shadowEvents, band, expectedRatio: 1, at: at('next-frame') });
        // The stream goes on meanwhile, at a pace that leaves the shadow slots.
        if (change !== undefined) await new Promise((resolve) => setTimeout(resolve, 5));
      });
      const counted = (await metrics.menuShadowEvents.get()).values[0]!.value;
      return { report: await change!.settled, accepted: sink.accepted, counted };
    }

    const both = await runRecords(input, [menus[0]![0]!, { ...menus[1]![0]!, name: 'q' }]);
    /** Scores of a path, frame after frame. */
    const scoresOf = (at: number): number[] =>
      both.scored.flatMap(({ scores, wire }) => [...scores.subarray(at * wire.eventCount, (at + 1) * wire.eventCount)]);

    it('and taken, saying how far they agree', async () => {
      const { report, accepted, counted } = await shadowed(menus[1]!, { kind: 'none' });
      expect(report.outcome).toBe('taken');
      const { shadow, began } = report;
      expect(counted).toBe(1500);
      expect(shadow).toMatchObject({ events: 1500, score_faults: 0 });
      const { running, candidate } = shadow!;
      expect(shadow!.both + shadow!.only_running).toBe(running.accepted);
      expect(shadow!.both + shadow!.only_candidate).toBe(candidate.accepted);
      // The events of the shadow are some of the stream's: their rates are those of all, within the interval.
      const rates = [scoresOf(0), scoresOf(1)].map(
        (scores, menu) => scores.filter((score) => score >= menus[menu]![0]!.threshold).length / scores.length,
      );
      for (const [menu, { low, high }] of [running, candidate].entries()) {
        expect(rates[menu]).toBeGreaterThan(low * 0.8);
        expect(rates[menu]).toBeLessThan(high * 1.2);
      }
      expect(shadow!.paths[0]).toMatchObject({ path: 'p', running_path: 'p', max_score_difference: null });
      expect(shadow!.paths[0]!.correlation).toBeGreaterThan(0.2);
      const first = Number(began[0]!.offset);
      expect(first).toBeGreaterThan(5);
      expect(new Set(accepted.filter(({ position }) => Number(position.offset) >= first).map(modelOf))).toEqual(
        new Set(['nae-events-s']),
      );
      expect(new Set(accepted.filter(({ position }) => Number(position.offset) < first).map(modelOf))).toEqual(
        new Set(['ae-events-s']),
      );
    });

    it('and compared bit by bit where it is the same model', async () => {
      const { report } = await shadowed([{ ...menus[0]![0]!, threshold: menus[2]![0]!.threshold }], {
        kind: 'factor',
        factor: 1e3,
      });
      expect(report.outcome).toBe('taken');
      expect(report.shadow!.paths[0]).toMatchObject({ max_score_difference: 0 });
      expect(report.shadow!.paths[0]!.correlation).toBeCloseTo(1, 12);
      expect(report.shadow!.only_candidate).toBe(0);
    });

    it.each<[string, number, ShadowBand, RegExp]>([
      [
        'lets everything through',
        0,
        { kind: 'factor', factor: 1.5 },
        /rate over the running menu's between .* of 1500 events/,
      ],
      ['lets nothing through', 99, { kind: 'factor', factor: 3 }, /0 of 1500 events accepted/],
      ['is outside of stated rates', 0, { kind: 'rates', low: 1e-6, high: 1e-3 }, /expected a rate between/],
    ])('and refused where it %s', async (_what, threshold, band, reason) => {
      const { report, accepted } = await shadowed([{ ...menus[0]![0]!, threshold }], band);
      expect(report).toMatchObject({ outcome: 'refused', began: [] });
      expect(report.reason).toMatch(reason);
      expect(accepted.map(decided)).toEqual(
        both.sink.accepted.flatMap((event) => {
          const paths = event.paths.filter(({ path: name }) => name === 'p');
          return paths.length === 0 ? [] : [decided({ ...event, paths })];
        }),
      );
    });
  });

  it('can be given up while nothing is taken over, and not after', async () => {
    const pools = [await openMenu(menus[0]!, 1), await openMenu(menus[1]!, 2), await openMenu(menus[2]!, 3)];
    const outcomes: boolean[] = [];
    const { sink } = await streamed(records(framesOf(codes, [200, 200, 200])), pools, async (number, running) => {
      if (number === 1) {
        const change = running.changeMenu(pools[1]!, { ...NO_SHADOW, at: at('offsets:0=2') });
        expect(() => running.changeMenu(pools[2]!, { ...NO_SHADOW, at: at('next-frame') })).toThrow('no other change');
        outcomes.push(change.cancel());
        expect(await change.settled).toMatchObject({ outcome: 'cancelled' });
        await change.retired;
      }
      if (number === 2) {
        const change = running.changeMenu(pools[2]!, { ...NO_SHADOW, at: at('next-frame') });
        outcomes.push(change.cancel());
      }
    });
    expect(outcomes).toEqual([true, false]);
    expect(sink.accepted.map(decided)).toEqual(expectedOf(200, (frame) => (frame < 2 ? 0 : 2)));
  });

  it('that no worker can score is refused, and the stream goes on', async () => {
    const pools = [await openMenu(menus[0]!, 1), await openMenu(menus[1]!, 2)];
    let report: MenuChangeReport | undefined;
    pools[1]!.score = () => Promise.reject(new Error('out of order'));
    const { sink } = await streamed(records(framesOf(codes, [200, 200, 200])), pools, async (number, running) => {
      if (number !== 1) return;
      const options = { ...NO_SHADOW, shadowEvents: 10, at: at('next-frame') };
      void running.changeMenu(pools[1]!, options).settled.then((settled) => (report = settled));
      await Promise.resolve();
    });
    expect(report).toMatchObject({ outcome: 'refused', reason: 'out of order' });
    expect(sink.accepted.map(decided)).toEqual(expectedOf(200, () => 0));
  });
});

function modelOf({ paths }: AcceptedEvent): string {
  return paths[0]!.model;
}
