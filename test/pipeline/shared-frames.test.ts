/**
 * Frames that lie in shared memory are scored where they are. Nobody writes there before they are finished, and then
 * at once: whatever still looked at them would decide something else.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { DEFAULT_FRAME_LIMITS, encodeFrame, type L1Frame } from '#nae/event/frame.js';
import { Encoding, HW32_BYTES, OBJECTS_PER_EVENT, VALUES_PER_EVENT } from '#nae/event/layout.js';
import { parseSwapPoint } from '#nae/event/swap-point.js';
import { Pipeline } from '#nae/pipeline/pipeline.js';
import type { SourceRecord } from '#nae/source/source.js';
import { Happenings } from '#nae/telemetry/happenings.js';
import { silentLogger } from '#nae/telemetry/logger.js';
import { Metrics } from '#nae/telemetry/metrics.js';

import { framesOf, plausibleCodes } from './events.js';
import { openMenu } from './menu-stream.js';
import { allScores, MemorySink, path, record, records, runRecords, WatchedSource } from './memory-stream.js';

const EVENTS = 4000;
const codes = plausibleCodes(EVENTS, 5);
const OPTIONS = { workers: 2, batchEvents: 1024, inferenceRows: 256 };
const GARBAGE = 0x5a;

/** Overwrites what it has read as soon as it may. */
class ReusingSource extends WatchedSource {
  override finished(of: SourceRecord): void {
    super.finished(of);
    of.bytes?.fill(GARBAGE);
  }
}

/** Records of the frames: copies in shared memory, at an address that suits nothing, where `isShared` says so. */
function placed(frames: readonly L1Frame[], isShared: (frame: number) => boolean): SourceRecord[] {
  return frames.map((frame, number) => {
    const bytes = encodeFrame(frame);
    if (!isShared(number)) return record(bytes, number);
    const start = 1 + (number % 7);
    const shared = Buffer.from(new SharedArrayBuffer(start + bytes.length), start);
    shared.set(bytes);
    return record(shared, number);
  });
}

/** A frame with some events that cannot be decided. */
function withFaults(frame: L1Frame, every: number): L1Frame {
  const objects = frame.objects.slice();
  for (let event = every; event < frame.eventCount; event += every) objects[event * HW32_BYTES + 1]! ^= 0xf0;
  return { ...frame, objects };
}

function physical(frame: L1Frame): L1Frame {
  const values = new Float32Array(frame.eventCount * VALUES_PER_EVENT);
  for (let at = 0; at < values.length; at++) {
    const value = at % VALUES_PER_EVENT;
    values[at] = value < OBJECTS_PER_EVENT ? (at % 97) + 1 : value === OBJECTS_PER_EVENT ? 0 : (at % 5) / 2;
  }
  return { ...frame, encoding: Encoding.PHYS32, objects: new Uint8Array(values.buffer) };
}

describe('frames in shared memory', async () => {
  // Each accepts a tenth of the events.
  const paths = await Promise.all(
    ['ae-events-s', 'nae-events-s'].map(async (bundle) => {
      const all = await path(bundle, Infinity);
      const scores = allScores(await runRecords(records(framesOf(codes, [EVENTS])), [all])).sort();
      return { ...all, threshold: scores[Math.round(0.9 * EVENTS)]! };
    }),
  );

  it('are decided like copies, whatever their sizes, addresses, faults, neighbours and encodings', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 1500 }), { minLength: 1, maxLength: 12 }),
        fc.infiniteStream(fc.boolean()),
        fc.constantFrom(3, 50, 5000),
        fc.nat(11),
        async (wanted, shared, every, other) => {
          let left = EVENTS;
          const sizes = wanted.map((size) => {
            const events = Math.min(size, left);
            left -= events;
            return events;
          });
          const frames = framesOf(codes, sizes).map((frame, number) =>
            number === other ? physical(frame) : withFaults(frame, every),
          );
          const where = frames.map(() => shared.next().value as boolean);
          const copies = await runRecords(
            placed(frames, () => false),
            paths,
            OPTIONS,
          );
          const input = placed(frames, (frame) => where[frame]!);
          const run = await runRecords(input, paths, { ...OPTIONS, source: new ReusingSource(input, () => undefined) });
          expect(run.sink.accepted).toEqual(copies.sink.accepted);
          expect(run.sink.deadLetters).toEqual(copies.sink.deadLetters);
          const bits = ({ scored }: typeof run): Buffer[] => scored.map(({ scores }) => Buffer.from(scores.buffer));
          expect(bits(run)).toEqual(bits(copies));
        },
      ),
      { numRuns: 15 },
    );
  });

  it('are scored by the shadow of another menu too', async () => {
    const input = placed(framesOf(codes, [1000, 1000, 1000, 1000]), () => true);
    const pools = [await openMenu(paths, 1, OPTIONS), await openMenu(paths, 2, OPTIONS)] as const;
    const sink = new MemorySink();
    const happenings = new Happenings(silentLogger(), new Metrics());
    // The last frame waits for the shadow: the stream would be over before.
    const source = new ReusingSource(input, async (number) => {
      const isOver = (): boolean => number < input.length - 1 || change.report().state !== 'shadow';
      while (!isOver()) await new Promise((resolve) => setTimeout(resolve, 5));
    });
    const pipeline = new Pipeline(source, pools[0], sink, happenings, {
      limits: DEFAULT_FRAME_LIMITS,
      maxInFlightBytes: 64 * 1024 * 1024,
      maxBatchDelayMs: 1,
    });
    const change = pipeline.changeMenu(pools[1], {
      shadowEvents: 1000,
      band: { kind: 'none' },
      expectedRatio: 1,
      at: parseSwapPoint('next-frame')!,
    });
    try {
      await pipeline.run(new AbortController().signal);
    } finally {
      await Promise.all(pools.map((pool) => pool.close()));
    }
    const { shadow } = await change.settled;
    expect(shadow!.running.accepted).toBeGreaterThan(0);
    expect(shadow).toMatchObject({ events: 1000, score_faults: 0, only_running: 0, only_candidate: 0 });
    for (const one of shadow!.paths) expect(one.max_score_difference).toBe(0);
  });
});
