import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { bunchCrossingOf, encodeFrame, labelOf, objectsOf, orbitOf, type L1Frame } from '#nae/event/frame.js';
import { Encoding } from '#nae/event/layout.js';
import { convertRecording } from '#nae/recording/convert.js';
import { encodeLength } from '#nae/recording/delimited.js';
import { describeRecording } from '#nae/recording/describe.js';
import { createRecording } from '#nae/recording/open.js';

import { frame } from '../event/arbitrary-events.js';
import { HEADER, manyFrames, readFrames, readRecorded, writeRecording } from './recordings.js';
import { temporaryFolder } from './temporary-folder.js';

const SAMPLE = fileURLToPath(new URL('../fixtures/adc2021-sample.h5', import.meta.url));
const folder = temporaryFolder();

/** Every event with all that must survive re-framing. */
function eventsOf(frames: readonly L1Frame[]): string[] {
  return frames.flatMap((of) =>
    Array.from({ length: of.eventCount }, (_, event) =>
      [
        of.encoding,
        of.run,
        of.luminositySection,
        orbitOf(of, event),
        bunchCrossingOf(of, event),
        labelOf(of, event),
        Buffer.from(objectsOf(of, event)).toString('hex'),
      ].join(' '),
    ),
  );
}

async function overwrite(path: string, frames: readonly L1Frame[]): Promise<void> {
  const writer = await createRecording(path, { header: HEADER, overwrite: true });
  for (const written of frames) await writer.write(written);
  await writer.close();
}

describe('converting recordings', () => {
  it('keeps every event when frames are made anew, and no frame crosses a luminosity section', async () => {
    const [from, to] = [folder.file('from.l1f'), folder.file('to.l1f.zst')];
    await fc.assert(
      fc.asyncProperty(fc.array(frame(6), { maxLength: 5 }), fc.integer({ min: 1, max: 9 }), async (frames, size) => {
        await overwrite(from, frames);
        const result = await convertRecording(from, to, { encoding: 'keep', eventsPerFrame: size, overwrite: true });
        const made = await readFrames(to);
        expect(eventsOf(made)).toEqual(eventsOf(frames));
        expect(made.every(({ eventCount }) => eventCount >= 1 && eventCount <= size)).toBe(true);
        expect(result).toMatchObject({
          frames: made.length,
          events: eventsOf(frames).length,
          skippedEvents: 0,
          lost: [],
        });
      }),
      { numRuns: 40 },
    );
  });

  it('packs consecutive frames of a luminosity section together and separates sections', async () => {
    const [from, to] = [folder.file('from.l1f'), folder.file('to.l1f')];
    const frames = manyFrames(6, 10).map((of, number) => ({ ...of, luminositySection: Math.floor(number / 4) }));
    await writeRecording(from, frames);
    await convertRecording(from, to, { encoding: 'keep', eventsPerFrame: 25 });
    expect((await readFrames(to)).map((of) => [of.luminositySection, of.eventCount])).toEqual([
      [0, 25],
      [0, 15],
      [1, 20],
    ]);
  });

  it('from HW32 to PHYS32, HDF5 and back to HW32 is the identity', async () => {
    const hw32 = frame(5).map((of) => ({ ...of, encoding: Encoding.HW32, createdUnixNs: 0n }));
    const sound = fc
      .array(hw32, { minLength: 1, maxLength: 3 })
      .map((frames) =>
        frames
          .filter(({ eventCount, objects }) => objects.length === 76 * eventCount)
          .map((of) => ({ ...of, labels: new Uint8Array(of.eventCount), orbit: of.orbit % 2 ** 31 })),
      );
    const [a, b, c, d] = ['a.l1f', 'b.l1f', 'c.h5', 'd.l1f'].map((name) => folder.file(name)) as [
      string,
      string,
      string,
      string,
    ];
    await fc.assert(
      fc.asyncProperty(sound, async (frames) => {
        await overwrite(a, frames);
        await convertRecording(a, b, { encoding: 'PHYS32', overwrite: true });
        expect((await readFrames(b)).every(({ encoding }) => encoding === Encoding.PHYS32)).toBe(true);
        await convertRecording(b, c, { encoding: 'keep', overwrite: true });
        await convertRecording(c, d, { encoding: 'HW32', eventsPerFrame: 100, overwrite: true });
        expect(eventsOf(await readFrames(d))).toEqual(eventsOf(frames));
      }),
      { numRuns: 10 },
    );
  });

  it('keeps source groups from HDF5 to HDF5 and says so where they are lost', async () => {
    const [h5, l1f] = [folder.file('copy.h5'), folder.file('copy.l1f')];
    expect(await convertRecording(SAMPLE, h5, { encoding: 'HW32' })).toMatchObject({ events: 64, lost: [] });
    const [recorded] = await readRecorded(h5);
    expect([...recorded!.sourceGroups!].slice(0, 7)).toEqual([0, 0, 0, 1, 1, 1, 2]);
    const { lost } = await convertRecording(SAMPLE, l1f, { encoding: 'HW32' });
    expect(lost).toEqual([expect.stringMatching(/^source_group: /)]);
    await convertRecording(h5, folder.file('again.l1f'), { encoding: 'HW32' });
    expect(await readFrames(folder.file('again.l1f'))).toEqual(await readFrames(l1f));
  });

  it('refuses faulty frames and events with their place, or counts what it leaves out', async () => {
    const [from, to] = [folder.file('faulty.l1f'), folder.file('to.l1f')];
    const [sound, other] = manyFrames(2, 3);
    const faulty = { ...other!, objects: other!.objects.slice() };
    new Int32Array(faulty.objects.buffer)[19 + 9] = 1 | (512 << 12); // event 1: eta code -512
    await writeRecording(from, [sound!, faulty]);
    const refused = convertRecording(from, to, { encoding: 'PHYS32' });
    await expect(refused).rejects.toMatchObject({
      code: 'INPUT_REFUSED',
      message: expect.stringMatching(/faulty\.l1f: frame 1, event 1: eta-out-of-range/) as string,
    });
    expect([existsSync(to), existsSync(`${to}.partial`)]).toEqual([false, false]);

    const result = await convertRecording(from, to, { encoding: 'PHYS32', skipFaulty: true });
    expect(result).toMatchObject({ frames: 2, events: 5, skippedEvents: 1, skippedFrames: 0 });
    expect(
      (await readFrames(to)).map((of) => Array.from({ length: of.eventCount }, (_, e) => bunchCrossingOf(of, e))),
    ).toEqual([
      [1, 2, 3],
      [1, 3],
    ]);
    // Kept encoding: a recording of faulty events is a test input of its own.
    expect(await convertRecording(from, folder.file('kept.l1f'), { encoding: 'keep' })).toMatchObject({ events: 6 });
  });
});

describe('describing recordings', () => {
  it('counts frames, events, encodings and labels, and gives the ranges of identities', async () => {
    const path = folder.file('described.l1f');
    const frames = manyFrames(3, 10).map((of, number) => ({ ...of, run: 7 + number, orbit: 100 * number }));
    frames[1] = { ...frames[1]!, labels: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1, 1, 9) };
    await writeRecording(path, frames);
    expect(await describeRecording(path)).toMatchObject({
      format: 'l1f',
      header: HEADER,
      frames: 3,
      events: 30,
      eventsByEncoding: { HW32: 30, PHYS32: 0 },
      labels: [
        { label: 0, name: 'background', events: 7 },
        { label: 1, name: 'A4l', events: 2 },
        { label: 9, name: undefined, events: 1 },
      ],
      unlabelledEvents: 20,
      runs: { first: 7, last: 9 },
      luminositySections: { first: 0, last: 0 },
      orbits: { first: 0, last: 200 },
      firstProblem: undefined,
    });
  });

  it('counts what is faulty and names the first problem', async () => {
    const path = folder.file('problems.l1f');
    const [first, second] = manyFrames(2, 4);
    const outside = { ...second!, bunchCrossings: new Uint8Array(Uint16Array.of(1, 0, 3565, 2).buffer) };
    await writeRecording(path, [first!, outside]);
    const broken = encodeFrame({ ...first!, labels: Uint8Array.of(1) });
    writeFileSync(path, Buffer.concat([readFileSync(path), encodeLength(broken.length), broken, Uint8Array.of(50, 1)]));
    const description = await describeRecording(path);
    expect(description).toMatchObject({
      frames: 3,
      events: 8,
      firstProblem: 'frame 1, event 1: crossing-out-of-range',
    });
    expect(description.eventFaults).toEqual(new Map([['crossing-out-of-range', 2]]));
    expect(description.frameFaults).toEqual(new Map([['length-mismatch', 1]]));
  });

  it('says where a recording breaks off', async () => {
    const path = folder.file('short.l1f');
    await writeRecording(path, manyFrames(2, 4));
    writeFileSync(path, readFileSync(path).subarray(0, -5));
    const description = await describeRecording(path);
    expect(description.frames).toBe(1);
    expect(description.firstProblem).toMatch(
      /short\.l1f: frame 1 at byte \d+: expected \d+ bytes with its length, received \d+/,
    );
  });
});
