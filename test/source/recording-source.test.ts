import { readFileSync, writeFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { encodeFrame } from '#nae/event/frame.js';
import { openRecording } from '#nae/recording/open.js';
import { RecordingSource } from '#nae/source/recording-source.js';
import type { Intake, SourceRecord } from '#nae/source/source.js';

import { manyFrames, writeRecording } from '../recording/recordings.js';
import { temporaryFolder } from '../recording/temporary-folder.js';

const folder = temporaryFolder();
const FRAMES = 30;

async function sourceOf(name: string): Promise<RecordingSource> {
  await writeRecording(folder.file(name), manyFrames(FRAMES, 1000));
  return new RecordingSource(await openRecording(folder.file(name)));
}

/** A stream that takes everything, or as `offer` decides. */
class Collector implements Intake {
  readonly records: SourceRecord[] = [];
  idles = 0;
  readonly #offered: (record: SourceRecord) => Promise<void> | undefined;

  constructor(offered: (record: SourceRecord) => Promise<void> | undefined = () => undefined) {
    this.#offered = offered;
  }

  offer(record: SourceRecord): Promise<void> | undefined {
    this.records.push(record);
    return this.#offered(record);
  }

  idle(): void {
    this.idles++;
  }
}

describe('the recording source', () => {
  it.each(['stream.l1f', 'stream.l1f.zst'])(
    'offers every frame of %s in order, with its position and time',
    async (name) => {
      const source = await sourceOf(name);
      const intake = new Collector();
      const before = Date.now();
      await source.run(intake, new AbortController().signal);
      const after = Date.now();
      await source.close();

      expect(source.name).toBe(folder.file(name));
      expect(intake.records.map(({ position }) => position)).toEqual(
        Array.from({ length: FRAMES }, (_, number) => ({ source: name, partition: 0, offset: BigInt(number) })),
      );
      const originals = manyFrames(FRAMES, 1000);
      intake.records.forEach(({ bytes, availableUnixMs }, number) => {
        expect(Buffer.from(encodeFrame(originals[number]!)).equals(bytes!)).toBe(true);
        expect(availableUnixMs).toBeGreaterThan(before - 50);
        expect(availableUnixMs).toBeLessThan(after + 50);
      });
      // Once for each block that was not at hand yet, never per frame.
      expect(intake.idles).toBeLessThan(FRAMES);
    },
  );

  it('offers nothing while the stream is full', async () => {
    const source = await sourceOf('full.l1f');
    let full = false;
    const intake = new Collector(() => {
      expect(full).toBe(false);
      full = true;
      return new Promise((resolve) => {
        setTimeout(() => {
          full = false;
          resolve();
        }, 1);
      });
    });
    await source.run(intake, new AbortController().signal);
    expect(intake.records).toHaveLength(FRAMES);
    await source.close();
  });

  it('offers nothing after it was stopped, though the stream is full for ever', async () => {
    const source = await sourceOf('stopped.l1f');
    const stop = new AbortController();
    const intake = new Collector(({ position }) => {
      if (position.offset < 4n) return undefined;
      stop.abort();
      return new Promise(() => undefined);
    });
    await source.run(intake, stop.signal);
    expect(intake.records).toHaveLength(5);
    await source.close();

    const never = await sourceOf('never.l1f');
    const untouched = new Collector();
    await never.run(untouched, AbortSignal.abort());
    expect(untouched.records).toEqual([]);
    await never.close();
  });

  it('ends when the stream has failed', async () => {
    const source = await sourceOf('failed.l1f');
    const intake = new Collector(() => Promise.reject(new Error('the stream has failed')));
    await source.run(intake, new AbortController().signal);
    expect(intake.records).toHaveLength(1);
    await source.close();
  });

  it('rejects, after the whole frames, where the recording breaks off', async () => {
    await writeRecording(folder.file('whole.l1f'), manyFrames(FRAMES, 1000));
    writeFileSync(folder.file('cut.l1f'), readFileSync(folder.file('whole.l1f')).subarray(0, -100));
    const source = new RecordingSource(await openRecording(folder.file('cut.l1f')));
    const intake = new Collector();
    await expect(source.run(intake, new AbortController().signal)).rejects.toMatchObject({
      code: 'RECORDING_TRUNCATED',
    });
    expect(intake.records).toHaveLength(FRAMES - 1);
    await source.close();
  });
});
