import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { encodeFrame, decodeFrame, isFrameFault } from '#nae/event/frame.js';
import { Encoding, HW32_BYTES, PHYS32_BYTES } from '#nae/event/layout.js';
import { BURST_WRITES } from '#nae/pipeline/deliveries.js';
import type { Delivery } from '#nae/sink/sink.js';
import type { Intake } from '#nae/source/source.js';

import { frameOf, framesOf, plausibleCodes } from './events.js';
import {
  allScores,
  MemorySink,
  MemorySource,
  type MemoryRun,
  path,
  record,
  records,
  runRecords,
  WatchedSource,
} from './memory-stream.js';

const ACCEPT_ALL = -1;

describe('accounting', () => {
  it('received = accepted + rejected + faults, whatever the frames are', async () => {
    const good = await path('ae-events-s', 0.05);
    const anyFrame = fc.oneof(
      { weight: 4, arbitrary: fc.nat(90).map((events) => encodeFrame(frameOf(plausibleCodes(events, events)))) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 64 }) },
      { weight: 1, arbitrary: fc.constant(null) },
      {
        weight: 2,
        arbitrary: fc.tuple(fc.integer({ min: 1, max: 50 }), fc.nat(), fc.nat(255)).map(([events, place, byte]) => {
          const frame = frameOf(plausibleCodes(events, place));
          frame.objects[place % frame.objects.length] = byte;
          return encodeFrame(frame);
        }),
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(anyFrame, { maxLength: 30 }), async (frames) => {
        const run = await runRecords(
          frames.map((bytes, number) => record(bytes, number)),
          [good],
        );
        const { events, frames: counted } = run.pipeline.totals.summary();
        expect(events.received).toBe(events.accepted + events.rejected + events.faults);
        expect(counted.received).toBe(frames.length);
        expect(run.sink.accepted).toHaveLength(events.accepted);
        expect(run.sink.deadLetters).toHaveLength(events.faults + counted.faults);
        expect(run.source.acknowledged.map(({ position }) => Number(position.offset))).toEqual([...frames.keys()]);
        const decoded = frames
          .map((bytes) => decodeFrame(bytes))
          .flatMap((frame) => (isFrameFault(frame) ? [] : [frame]));
        expect(events.received).toBe(decoded.reduce((sum, frame) => sum + frame.eventCount, 0));
        const text = await run.metrics.registry.metrics();
        const metric = (name: string): number =>
          Array.from(text.matchAll(new RegExp(`^${name}(?:{.*})? (.*)$`, 'gm')), ([, value]) => Number(value)).reduce(
            (sum, value) => sum + value,
            0,
          );
        expect(metric('trigger_events_received_total')).toBe(
          metric('trigger_events_accepted_total') +
            metric('trigger_events_rejected_total') +
            metric('trigger_events_dead_lettered_total') +
            metric('trigger_events_in_flight'),
        );
        expect(metric('trigger_events_in_flight')).toBe(0);
      }),
      { numRuns: 8 },
    );
  });

  it('dead-letters one bad event and decides the others of its frame', async () => {
    const frame = frameOf(plausibleCodes(5));
    frame.bunchCrossings.set([0xff, 0xff], 2 * 2);
    new DataView(frame.objects.buffer).setUint32(3 * HW32_BYTES + 4, (0x200 << 12) | 5, true);
    const { sink } = await runRecords(records([frame]), [await path('ae-events-s', ACCEPT_ALL)]);
    expect(sink.accepted.map(({ index }) => index)).toEqual([0, 1, 4]);
    expect(sink.deadLetters.map(({ index, reason, kind }) => ({ index, reason, kind }))).toEqual([
      { index: 2, reason: 'crossing-out-of-range', kind: 'event' },
      { index: 3, reason: 'eta-out-of-range', kind: 'event' },
    ]);
    const alone = decodeFrame(sink.deadLetters[1]!.bytes);
    expect(isFrameFault(alone) ? alone : [alone.eventCount, Buffer.from(alone.objects)]).toEqual([
      1,
      Buffer.from(frame.objects.subarray(3 * HW32_BYTES, 4 * HW32_BYTES)),
    ]);
  });

  it('names an orbit beyond the counter', async () => {
    const frame = frameOf(plausibleCodes(2), { orbit: 0xffffffff, orbitDeltas: new Uint8Array([0, 0, 1, 0]) });
    const { sink } = await runRecords(records([frame]), [await path('ae-events-s', ACCEPT_ALL)]);
    expect(sink.accepted.map(({ orbit }) => orbit)).toEqual([0xffffffff]);
    expect(sink.deadLetters.map(({ reason }) => reason)).toEqual(['orbit-out-of-range']);
  });

  it('hands a frame that cannot be decoded on as it came', async () => {
    const bytes = new Uint8Array([1, 2, 3]);
    const { sink, pipeline } = await runRecords([record(bytes, 0), record(null, 1)], [await path('ae-events-s', 0)]);
    expect(sink.deadLetters.map(({ kind, bytes: raw }) => [kind, [...raw]])).toEqual([
      ['frame', [1, 2, 3]],
      ['frame', []],
    ]);
    expect(pipeline.totals.summary().frames).toEqual({ received: 2, faults: 2 });
  });
});

describe('identity of accepted events', () => {
  it('keeps run, section, orbit, crossing, objects, label and position', async () => {
    const codes = plausibleCodes(3);
    const frame = frameOf(codes, {
      run: 390_000,
      luminositySection: 12,
      orbit: 100,
      orbitDeltas: new Uint8Array([0, 0, 0, 0, 1, 0]),
      labels: new Uint8Array([0, 3, 1]),
    });
    const model = await path('ae-events-s', ACCEPT_ALL);
    const { sink } = await runRecords([record(encodeFrame(frame), 41, 2)], [model]);
    expect(sink.accepted.map(({ orbit, bunchCrossing, label, index }) => [orbit, bunchCrossing, label, index])).toEqual(
      [
        [100, 1, 0, 0],
        [100, 2, 3, 1],
        [101, 3, 1, 2],
      ],
    );
    for (const [index, event] of sink.accepted.entries()) {
      expect(event).toMatchObject({ run: 390_000, luminositySection: 12, position: { partition: 2, offset: 41n } });
      expect(Buffer.from(event.objects)).toEqual(
        Buffer.from(frame.objects.subarray(index * HW32_BYTES, (index + 1) * HW32_BYTES)),
      );
      expect(event.paths).toEqual([
        {
          path: 'ae-events-s',
          model: model.bundle.manifest.name,
          modelSha256: model.bundle.manifest.sha256,
          score: expect.any(Number) as number,
          threshold: ACCEPT_ALL,
        },
      ]);
    }
  });

  it('follows a shifted crossing number', async () => {
    const codes = plausibleCodes(4);
    const shifted = new Uint8Array(Uint16Array.from([2, 3, 4, 5]).buffer);
    const model = await path('ae-events-s', ACCEPT_ALL);
    const before = await runRecords(records([frameOf(codes)]), [model]);
    const after = await runRecords(records([frameOf(codes, { bunchCrossings: shifted })]), [model]);
    expect(before.sink.accepted.map(({ bunchCrossing }) => bunchCrossing)).toEqual([1, 2, 3, 4]);
    expect(after.sink.accepted.map(({ bunchCrossing }) => bunchCrossing)).toEqual([2, 3, 4, 5]);
  });
});

describe('several paths', () => {
  it('accepts what any path accepts and names those that did', async () => {
    const all = await path('ae-events-s', ACCEPT_ALL);
    const codes = plausibleCodes(64);
    const scores = allScores(await runRecords(records([frameOf(codes)]), [all]));
    const half = Float32Array.from(scores).sort()[32]!;
    const run = await runRecords(
      records([frameOf(codes)]),
      [await path('nae-events-m', Infinity, 'never'), await path('ae-events-s', half, 'half')],
      { workers: 2 },
    );
    expect(run.sink.accepted.map(({ index }) => index)).toEqual(
      [...scores.keys()].filter((event) => scores[event]! >= half),
    );
    expect(new Set(run.sink.accepted.flatMap(({ paths }) => paths.map((one) => one.path)))).toEqual(new Set(['half']));
    expect(run.pipeline.totals.summary().paths.map(({ path: name, accepted }) => [name, accepted])).toEqual([
      ['never', 0],
      ['half', run.sink.accepted.length],
    ]);
  });

  it('accepts a score equal to the threshold', async () => {
    const codes = plausibleCodes(8);
    const scores = allScores(await runRecords(records([frameOf(codes)]), [await path('ae-events-s', ACCEPT_ALL)]));
    const { sink } = await runRecords(records([frameOf(codes)]), [await path('ae-events-s', Math.max(...scores))]);
    expect(sink.accepted.map(({ index }) => index)).toEqual([scores.indexOf(Math.max(...scores))]);
  });
});

describe('encodings', () => {
  it('splits frames that are larger than a slot, of either encoding', async () => {
    const codes = plausibleCodes(700);
    const model = await path('ae-events-s', ACCEPT_ALL);
    const hw32 = frameOf(codes);
    const { toPhysical } = await import('#nae/event/hardware-words.js');
    const values = new Float32Array(codes.length);
    toPhysical(codes, 700, values);
    const phys32 = { ...hw32, encoding: Encoding.PHYS32, objects: new Uint8Array(values.buffer) };
    expect(phys32.objects).toHaveLength(700 * PHYS32_BYTES);
    const run = await runRecords(records([hw32, phys32, hw32]), [model]);
    const scores = allScores(run);
    expect(run.pipeline.totals.events).toEqual({ received: 2100, accepted: 2100, rejected: 0, faults: 0 });
    expect(scores.subarray(700, 1400)).toEqual(scores.subarray(0, 700));
    expect(scores.subarray(1400)).toEqual(scores.subarray(0, 700));
  });
});

describe('backpressure and endings', () => {
  const frames = framesOf(
    plausibleCodes(4000),
    Array.from({ length: 80 }, () => 50),
  );

  it('holds no more bytes than allowed while the sink is slow', async () => {
    const maxInFlightBytes = 8 * encodeFrame(frames[0]!).length;
    const source = new MemorySource(records(frames));
    let mostHeld = 0;
    const sink = new MemorySink(async () => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      mostHeld = Math.max(mostHeld, source.offered - source.acknowledged.length);
    });
    const run = await runRecords([], [await path('ae-events-s', ACCEPT_ALL)], { source, sink, maxInFlightBytes });
    expect(run.pipeline.totals.events.accepted).toBe(4000);
    // The offer that crosses the limit is taken; the next one waits.
    expect(mostHeld).toBeLessThanOrEqual(9);
    expect(mostHeld).toBeGreaterThan(4);
  });

  it('drains what it took when it is stopped', async () => {
    const stop = new AbortController();
    const sink = new MemorySink((delivery: Delivery) => {
      if (delivery.accepted.length > 0) stop.abort();
      return Promise.resolve();
    });
    const maxInFlightBytes = encodeFrame(frames[0]!).length;
    const { source, pipeline } = await runRecords(records(frames), [await path('ae-events-s', ACCEPT_ALL)], {
      sink,
      stop: stop.signal,
      maxInFlightBytes,
    });
    expect(source.offered).toBeLessThan(80);
    expect(source.acknowledged).toHaveLength(source.offered);
    expect(sink.accepted).toHaveLength(pipeline.totals.events.received);
  });

  it('acknowledges nothing at or behind a failed write', async () => {
    let writes = 0;
    const sink = new MemorySink(() => (++writes === 2 ? Promise.reject(new Error('disk full')) : Promise.resolve()));
    const source = new MemorySource(records(frames));
    await expect(
      runRecords([], [await path('ae-events-s', ACCEPT_ALL)], { source, sink, maxInFlightBytes: 20_000 }),
    ).rejects.toThrow('disk full');
    const durable = new Set(sink.accepted.map(({ position }) => position.offset));
    expect(source.acknowledged.map(({ position }) => position.offset)).toEqual([...durable]);
    expect(source.acknowledged.length).toBeLessThan(80);
  });

  it('lets a few writes follow at once, then puts together what comes within the interval of the sink', async () => {
    const intervalMs = 100;
    const starts: number[] = [];
    const sizes: number[] = [];
    const sink = new MemorySink((delivery) => {
      starts.push(performance.now());
      sizes.push(delivery.accepted.length);
      return Promise.resolve();
    }, intervalMs);
    let lastOffer = 0;
    const source = new WatchedSource(records(frames), (number) => {
      lastOffer = performance.now();
      return number % 4 === 0 ? new Promise((resolve) => setTimeout(resolve, 30)) : undefined;
    });
    await runRecords([], [await path('ae-events-s', ACCEPT_ALL)], { source, sink, batchEvents: 64 });
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(4000);
    expect(source.acknowledged.map(({ position }) => Number(position.offset))).toEqual([...frames.keys()]);
    // The first go at once, and nothing waits any more when the source has ended.
    expect(sizes[0]).toBeLessThan(1000);
    expect(starts[BURST_WRITES - 1]! - starts[0]!).toBeLessThan((BURST_WRITES - 1) * intervalMs);
    const timely = starts.filter((start) => start < lastOffer);
    expect(timely.length).toBeGreaterThan(BURST_WRITES);
    for (const [at, start] of timely.entries()) {
      expect(start - timely[0]!).toBeGreaterThan((at - BURST_WRITES + 1) * intervalMs - 2);
    }
  });

  it('has the workers that are free decide a frame together, where nothing else is at hand', async () => {
    const input = records([frameOf(plausibleCodes(5000, 9))]);
    class IdleSource extends MemorySource {
      override run(intake: Intake, stop: AbortSignal): Promise<void> {
        intake.idle();
        return super.run(intake, stop);
      }
    }
    const causes = async ({ metrics }: MemoryRun): Promise<Record<string, number>> =>
      Object.fromEntries(
        (await metrics.batches.get()).values.map(({ labels, value }) => [String(labels.cause), value]),
      );
    const options = { workers: 3, batchEvents: 8192, inferenceRows: 64 };
    const paths = [await path('ae-events-s', ACCEPT_ALL)];
    const idle = await runRecords([], paths, { source: new IdleSource(input), ...options });
    const busy = await runRecords(input, paths, options);
    expect(await causes(idle)).toEqual({ shared: 2, end: 1 });
    expect(await causes(busy)).toEqual({ end: 1 });
    expect(idle.sink.accepted).toHaveLength(5000);
    expect(idle.sink.accepted).toEqual(busy.sink.accepted);
  });

  it('finishes frames that nothing came of without a write', async () => {
    const sink = new MemorySink(() => Promise.reject(new Error('nothing was to be written')), 60_000);
    const { source } = await runRecords(records(frames), [await path('ae-events-s', 1e30)], { sink });
    expect(source.acknowledged).toHaveLength(80);
  });

  it('keeps the order within every partition', async () => {
    const input = frames.map((frame, number) => record(encodeFrame(frame), Math.floor(number / 3), number % 3));
    const { source, sink } = await runRecords(input, [await path('ae-events-s', ACCEPT_ALL)], {
      workers: 3,
      batchEvents: 64,
    });
    for (const partition of [0, 1, 2]) {
      const inPartition = (of: { position: { partition: number } }): boolean => of.position.partition === partition;
      const offsets = source.acknowledged.filter(inPartition).map(({ position }) => position.offset);
      expect(offsets).toEqual([...offsets.keys()].map(BigInt));
      const written = sink.accepted
        .filter(inPartition)
        .map(({ position, index }) => Number(position.offset) * 50 + index);
      expect(written).toEqual([...written.keys()]);
    }
  });
});
