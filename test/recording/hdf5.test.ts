import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import h5wasm from 'h5wasm/node';
import { describe, expect, it } from 'vitest';

import { bunchCrossingOf, labelOf, orbitOf } from '#nae/event/frame.js';
import { packCodes, quantise } from '#nae/event/hardware-words.js';
import { Encoding, OBJECTS_PER_EVENT, VALUES_PER_EVENT } from '#nae/event/layout.js';
import { openRecording } from '#nae/recording/open.js';

import { HEADER, manyFrames, readFrames, readRecorded, soundFrame, writeRecording } from './recordings.js';
import { temporaryFolder } from './temporary-folder.js';

// Written by h5py in the ADC2021 layout, with the words that models/l1models/layout.py makes of it.
const SAMPLE = fileURLToPath(new URL('../fixtures/adc2021-sample.h5', import.meta.url));
const SAMPLE_WORDS = new URL('../fixtures/adc2021-sample.words.bin', import.meta.url);
const SAMPLE_EVENTS = 64;

const folder = temporaryFolder();

interface Contents {
  particles?: Float32Array | Float64Array | Int32Array;
  shape?: number[];
  process?: Int16Array;
  attributes?: Record<string, string[] | Int8Array>;
  columns?: Record<string, Int16Array | Int32Array | Float32Array>;
}

async function makeFile(name: string, { particles, shape, process, attributes, columns }: Contents): Promise<string> {
  await h5wasm.ready;
  const path = folder.file(name);
  const file = new h5wasm.File(path, 'w');
  if (particles !== undefined) {
    file.create_dataset({ name: 'Particles', data: particles, shape: shape ?? [particles.length / 76, 19, 4] });
  }
  if (process !== undefined) {
    const dataset = file.create_dataset({ name: 'process', data: process });
    for (const [key, value] of Object.entries(attributes ?? {})) dataset.create_attribute(key, value);
  }
  for (const [key, data] of Object.entries(columns ?? {})) file.create_dataset({ name: key, data });
  file.close();
  return path;
}

const refusal = async (path: string): Promise<unknown> =>
  readRecorded(path).then(
    () => 'read',
    (error: unknown) => error,
  );

describe('ADC2021 files', () => {
  it('are PHYS32 frames whose events round to the words that the Python package makes', async () => {
    const frames = await readFrames(SAMPLE);
    expect(frames).toHaveLength(1);
    const { encoding, eventCount, objects } = frames[0]!;
    expect([encoding, eventCount]).toEqual([Encoding.PHYS32, SAMPLE_EVENTS]);
    const codes = new Int16Array(SAMPLE_EVENTS * VALUES_PER_EVENT);
    expect(quantise(new Float32Array(objects.buffer), SAMPLE_EVENTS, codes, new Uint8Array(SAMPLE_EVENTS))).toBe(0);
    const words = new Int32Array(SAMPLE_EVENTS * OBJECTS_PER_EVENT);
    packCodes(codes, SAMPLE_EVENTS, words);
    expect(Buffer.from(words.buffer).equals(readFileSync(SAMPLE_WORDS))).toBe(true);
  });

  it('say how many events they have, where they come from, and name labels by signal process', async () => {
    const reader = await openRecording(SAMPLE);
    expect([reader.format, reader.eventCount]).toEqual(['hdf5', SAMPLE_EVENTS]);
    expect(reader.header.provenance).toEqual(
      new Map([
        ['generator', 'make-adc2021-sample.py'],
        ['seed', '2107'],
      ]),
    );
    expect(reader.header.labelNames).toEqual(
      new Map([
        [0, 'background'],
        [1, 'A4l'],
        [2, 'LQ'],
      ]),
    );
    await reader.close();
  });

  it('give labels, source groups and identities to frames of any size', async () => {
    for (const eventsPerFrame of [1, 10, 64]) {
      const recorded = await readRecorded(SAMPLE, { eventsPerFrame, run: 9 });
      expect(recorded.map(({ number }) => number)).toEqual(recorded.map((_, index) => index));
      let event = 0;
      for (const { bytes, sourceGroups } of recorded) {
        const frame = soundFrame(bytes);
        expect(frame.eventCount).toBe(Math.min(eventsPerFrame, SAMPLE_EVENTS - event));
        expect([frame.run, frame.luminositySection]).toEqual([9, 0]);
        for (let index = 0; index < frame.eventCount; index++, event++) {
          expect(bunchCrossingOf(frame, index)).toBe(event + 1);
          expect(labelOf(frame, index)).toBe([0, 1, 0, 0, 2][event % 5]);
          expect(sourceGroups![index]).toBe(Math.floor(event / 3));
        }
      }
      expect(event).toBe(SAMPLE_EVENTS);
    }
  });

  it('may be float64, without labels, and of several blocks; crossings fill orbit after orbit', async () => {
    const events = 20_000;
    const particles = new Float64Array(events * 76);
    for (let event = 0; event < events; event++) particles[event * 76] = 0.5 * (event % 4000);
    const path = await makeFile('double.h5', { particles });
    const frames = await readFrames(path, { eventsPerFrame: 3000 });
    expect(frames.map(({ eventCount }) => eventCount)).toEqual([3000, 3000, 3000, 3000, 3000, 3000, 2000]);
    expect(frames.every(({ labels }) => labels.length === 0)).toBe(true);
    const second = frames[1]!;
    expect([second.orbit, bunchCrossingOf(second, 0)]).toEqual([0, 3001]);
    expect([orbitOf(second, 563), bunchCrossingOf(second, 563)]).toEqual([0, 3564]);
    expect([orbitOf(second, 564), bunchCrossingOf(second, 564)]).toEqual([1, 1]);
    frames.forEach(({ objects }, number) => {
      const first = new Float32Array(objects.buffer, 0, 1)[0];
      expect(first).toBe(0.5 * ((3000 * number) % 4000));
    });
  });

  it('keep float32 values as they are, faulty ones included: events are judged later', async () => {
    const particles = new Float32Array(76);
    particles.set([NaN, 1.5, -0, 1]);
    const [frame] = await readFrames(await makeFile('nan.h5', { particles }));
    expect([...new Float32Array(frame!.objects.buffer, 0, 3)]).toEqual([NaN, 1.5, -0]);
  });

  it.each<[string, Contents, RegExp]>([
    ['no dataset', {}, /expected a dataset Particles of shape \(N, 19, 4\), received none/],
    ['another shape', { particles: new Float32Array(57), shape: [1, 19, 3] }, /received \(1, 19, 3\)/],
    ['another type', { particles: new Int32Array(76) }, /Particles: expected little-endian float32 or float64/],
    [
      'another order of objects',
      { particles: new Float32Array(76).fill(2) },
      /event 0, object 0: expected class 1, or 0 where absent, received 2/,
    ],
    [
      'a process without names',
      { particles: new Float32Array(76), process: Int16Array.of(0) },
      /process: expected attributes names \(strings\) and background/,
    ],
    [
      'a process number without a name',
      {
        particles: new Float32Array(152),
        process: Int16Array.of(0, 3),
        attributes: { names: ['W', 'LQ'], background: Int8Array.of(1, 0) },
      },
      /process of event 1: expected 0\.\.1, received 3/,
    ],
    [
      'columns of another length',
      { particles: new Float32Array(152), columns: { source_group: Int32Array.of(1) } },
      /source_group: expected 2 integers, received shape \(1\)/,
    ],
    [
      'columns of floats',
      { particles: new Float32Array(76), columns: { source_group: Float32Array.of(1) } },
      /source_group: expected 1 integers/,
    ],
  ])('with %s are refused', async (_what, contents, message) => {
    const error = await refusal(await makeFile('refused.h5', contents));
    expect(error).toMatchObject({ code: 'INPUT_REFUSED' });
    expect(String(error)).toMatch(message);
    expect(String(error)).toContain('refused.h5');
  });

  it('that are damaged or none at all are refused with the reason', async () => {
    const sound = readFileSync(SAMPLE);
    const path = folder.file('damaged.h5');
    writeFileSync(path, sound.subarray(0, sound.length / 2));
    expect(await refusal(path)).toMatchObject({
      code: 'RECORDING_TRUNCATED',
      message: expect.stringMatching(/damaged\.h5: not a readable HDF5 file: truncated file/) as string,
    });
    writeFileSync(path, 'no HDF5');
    expect(await refusal(path)).toMatchObject({
      code: 'INPUT_REFUSED',
      message: expect.stringMatching(/damaged\.h5: not a readable HDF5 file: file signature not found/) as string,
    });
    expect(await refusal(folder.file('none.h5'))).toMatchObject({ code: 'INPUT_REFUSED' });
  });
});

describe('written HDF5 recordings', () => {
  it('hold identities and labels, and come back with them', async () => {
    const path = folder.file('written.h5');
    const frames = manyFrames(3, 2000).map((frame, number) => ({
      ...frame,
      run: 5 + Math.floor(number / 2),
      labels: new Uint8Array(2000).map((_, event) => event % 3),
    }));
    await writeRecording(path, frames);

    const file = new h5wasm.File(path, 'r');
    const column = (name: string): unknown => (file.get(name) as { value: unknown } | null)?.value;
    expect(file.keys().sort()).toEqual([
      'Particles',
      'Particles_Classes',
      'Particles_Names',
      'bunch_crossing',
      'luminosity_section',
      'orbit',
      'process',
      'run',
    ]);
    expect(column('Particles_Names')).toEqual(['Pt', 'Eta', 'Phi', 'Class']);
    const particles = column('Particles') as Float32Array;
    expect(particles).toHaveLength(6000 * 76);
    expect([particles[3], particles[9 * 4 + 3]]).toEqual([0, 4]); // no MET, a jet
    expect((column('run') as Uint32Array)[5999]).toBe(6);
    expect(file.attrs['made by']!.value).toBe('a test');
    file.close();

    const reader = await openRecording(path, { eventsPerFrame: 2000 });
    expect([...reader.header.labelNames]).toEqual([
      [0, 'background'],
      [1, 'A4l'],
      [2, 'label 2'],
    ]);
    await reader.close();
    const back = await readFrames(path, { eventsPerFrame: 2000 });
    expect(back.map(({ run, orbit, eventCount }) => [run, orbit, eventCount])).toEqual([
      [5, 0, 2000],
      [5, 1, 2000],
      [6, 2, 2000],
    ]);
    expect(back.map(({ labels }) => labels)).toEqual(frames.map(({ labels }) => labels));
    expect(back.map(({ bunchCrossings }) => bunchCrossings)).toEqual(
      frames.map(({ bunchCrossings }) => bunchCrossings),
    );
  });

  it('may be empty', async () => {
    const path = folder.file('empty.h5');
    await writeRecording(path, [], { labelNames: new Map(), provenance: HEADER.provenance });
    expect(await readFrames(path)).toEqual([]);
  });

  it('have labels for all events or for none', async () => {
    const [first, second] = manyFrames(2, 3);
    const mixed = writeRecording(folder.file('mixed.h5'), [first!, { ...second!, labels: new Uint8Array(3) }]);
    await expect(mixed).rejects.toThrow(/mixed\.h5: frame 1: expected process unknown/);
  });
});
