import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import { memoryFeed, PacedSource } from '#nae/benchmark/paced-source.js';
import { measureRoofline } from '#nae/benchmark/roofline.js';
import { encoded, framesOf, loadWorkload } from '#nae/benchmark/streams.js';
import { decodeFrame, isFrameFault } from '#nae/event/frame.js';
import type { SourceRecord } from '#nae/source/source.js';

import { BUNDLES } from '../pipeline/memory-stream.js';

const SAMPLE = join(BUNDLES, '..', 'recordings', 'sample.l1f.zst');

describe('the benchmark', () => {
  it('takes distinct events of a recording, in frames that decode to them', async () => {
    const workload = await loadWorkload(SAMPLE, 1024);
    const decoded = encoded(workload, 256).map((bytes) => decodeFrame(bytes));
    const objects = decoded.map((frame) => (isFrameFault(frame) ? new Uint8Array(0) : frame.objects));
    expect(Buffer.concat(objects).equals(workload.objects)).toBe(true);
    const looped = [...framesOf(workload, 256, 2048)];
    expect(looped.map(({ orbit }) => orbit)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(looped[5]!.objects).toEqual(looped[1]!.objects);
    expect(workload.codes.some((code) => code !== 0)).toBe(true);
  });

  it('dates a frame from when it was due, also where a stalled stream made it wait', async () => {
    const records: SourceRecord[] = [];
    const times: number[] = [];
    const source = new PacedSource(memoryFeed([new Uint8Array(1)]), 10, 5);
    await source.run(
      {
        offer: (record) => {
          records.push(record);
          times.push(performance.timeOrigin + performance.now());
          return records.length === 3 ? sleep(60) : undefined;
        },
        idle: () => undefined,
      },
      new AbortController().signal,
    );
    const due = records.map(({ availableUnixMs }) => availableUnixMs!);
    due.slice(1).forEach((time, at) => {
      expect(time - due[at]!).toBeCloseTo(5, 2);
    });
    expect(times[3]! - due[3]!).toBeGreaterThan(50);
    times.forEach((time, at) => {
      expect(time).toBeGreaterThanOrEqual(due[at]!);
    });
  });

  it('finds what a core can do with a matrix product that it writes itself', async () => {
    const { flopPerSecond, bytesPerSecond } = await measureRoofline();
    expect(flopPerSecond).toBeGreaterThan(1e8);
    expect(bytesPerSecond).toBeGreaterThan(1e7);
  });
});
