import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';

import { Encoder } from '@toondepauw/node-zstd';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { encodeFrame } from '#nae/event/frame.js';
import { createRecording, openRecording } from '#nae/recording/open.js';

import { frame } from '../event/arbitrary-events.js';
import { collect, HEADER, manyFrames, readFrames, readRecorded, soundFrame, writeRecording } from './recordings.js';
import { temporaryFolder } from './temporary-folder.js';

const folder = temporaryFolder();

describe.each(['.l1f', '.l1f.zst'])('%s recordings', (extension) => {
  it('give back their header and frames', async () => {
    const path = folder.file(`round-trip${extension}`);
    await fc.assert(
      fc.asyncProperty(fc.array(frame(), { maxLength: 6 }), async (frames) => {
        const writer = await createRecording(path, { header: HEADER, overwrite: true });
        for (const written of frames) await writer.write(written);
        await writer.close();
        expect(await readFrames(path)).toEqual(frames);
      }),
      { numRuns: 40 },
    );
    const reader = await openRecording(path);
    expect(reader.header).toEqual(HEADER);
    expect(reader.eventCount).toBeUndefined();
    expect(reader.sizeBytes).toBe(statSync(path).size);
    await reader.close();
  });

  it('may hold a header alone', async () => {
    const path = folder.file(`empty${extension}`);
    await writeRecording(path, []);
    expect(await readFrames(path)).toEqual([]);
  });

  it('are read in blocks: many frames come in order and the whole file is consumed', async () => {
    const path = folder.file(`long${extension}`);
    const frames = manyFrames(60, 2000);
    await writeRecording(path, frames);
    const reader = await openRecording(path);
    let number = 0;
    for await (const recorded of reader.frames()) {
      expect(recorded.number).toBe(number);
      expect(Buffer.from(encodeFrame(frames[number]!)).equals(recorded.bytes)).toBe(true);
      number++;
    }
    expect(number).toBe(60);
    expect(reader.readBytes).toBe(reader.sizeBytes);
    await reader.close();
  });

  it('can be left before their end', async () => {
    const path = folder.file(`left${extension}`);
    await writeRecording(path, manyFrames(40, 2000));
    const reader = await openRecording(path);
    for await (const recorded of reader.frames()) if (recorded.number === 3) break;
    expect(reader.readBytes).toBeLessThan(reader.sizeBytes);
    await reader.close();
  });

  it('that are cut off give every whole frame, then say where they end', async () => {
    const path = folder.file(`whole${extension}`);
    const cut = folder.file(`cut${extension}`);
    await writeRecording(path, manyFrames(30, 500));
    const bytes = readFileSync(path);
    for (const length of [bytes.length - 1, Math.floor(bytes.length / 2)]) {
      writeFileSync(cut, bytes.subarray(0, length));
      const reader = await openRecording(cut);
      const numbers: number[] = [];
      const reading = (async () => {
        for await (const recorded of reader.frames()) {
          soundFrame(recorded.bytes);
          numbers.push(recorded.number);
        }
      })();
      const error: unknown = await reading.catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'RECORDING_TRUNCATED' });
      expect(String(error)).toMatch(new RegExp(`cut${extension}: frame ${numbers.length} at byte \\d+: `));
      expect(numbers).toEqual(numbers.map((_, index) => index));
      expect(numbers.length).toBeGreaterThan(0);
      await reader.close();
    }
  });

  it('are refused where they exist, or an interrupted one does, unless to be overwritten', async () => {
    const path = folder.file(`there${extension}`);
    const interrupted = await createRecording(path, { header: HEADER });
    await expect(createRecording(path, { header: HEADER })).rejects.toMatchObject({ code: 'INPUT_REFUSED' });
    await interrupted.close();
    await expect(createRecording(path, { header: HEADER })).rejects.toThrow(/there.*exists already/);
    const discarded = await createRecording(path, { header: HEADER, overwrite: true });
    await discarded.discard();
    expect(existsSync(`${path}.partial`)).toBe(false);
    expect(await readFrames(path)).toEqual([]);
  });

  it('hold what was flushed though they are never closed', async () => {
    const path = folder.file(`flushed${extension}`);
    const writer = await createRecording(path, { header: HEADER });
    await writer.write(manyFrames(1, 3)[0]!);
    await writer.flush();
    const copy = folder.file(`copy${extension}`);
    writeFileSync(copy, readFileSync(`${path}.partial`));
    await writer.discard();
    const reader = await openRecording(copy);
    const frames = reader.frames();
    expect(soundFrame((await frames.next()).value!.bytes)).toEqual(manyFrames(1, 3)[0]);
    await expect(frames.next()).rejects.toMatchObject({
      code: 'RECORDING_TRUNCATED',
      message: expect.stringMatching(/incomplete: its writer never finished it; it ends after 1 frames/) as string,
    });
    await reader.close();
  });
});

describe('broken native recordings are refused', () => {
  const refusal = async (bytes: Uint8Array, name = 'broken.l1f'): Promise<unknown> => {
    const path = folder.file(name);
    writeFileSync(path, bytes);
    return readRecorded(path).then(
      () => 'read',
      (error: unknown) => error,
    );
  };

  it('without a header', async () => {
    expect(await refusal(new Uint8Array())).toMatchObject({ code: 'RECORDING_TRUNCATED' });
    expect(await refusal(new Uint8Array(), 'broken.l1f.zst')).toMatchObject({ code: 'RECORDING_TRUNCATED' });
    expect(await refusal(Uint8Array.of(2, 8, 1))).toMatchObject({
      code: 'INPUT_REFUSED',
      message: expect.stringContaining('expected the magic "L1F"') as string,
    });
    expect(await refusal(Uint8Array.of(3, 0xff, 0xff, 0xff))).toMatchObject({ code: 'INPUT_REFUSED' });
  });

  it('of another version', async () => {
    // magic (field 1) "L1F", version (field 2) 9
    expect(await refusal(Uint8Array.of(7, 0x0a, 3, 0x4c, 0x31, 0x46, 0x10, 9))).toMatchObject({
      code: 'INPUT_REFUSED',
      message: expect.stringContaining('expected version 1 of the native recording, received 9') as string,
    });
  });

  it('whose length is beyond the limit', async () => {
    const path = folder.file('sound.l1f');
    await writeRecording(path, manyFrames(1, 2));
    const sound = readFileSync(path);
    expect(await refusal(Buffer.concat([sound, Uint8Array.of(0xff, 0xff, 0xff, 0x7f)]))).toMatchObject({
      code: 'INPUT_REFUSED',
      message: expect.stringMatching(
        new RegExp(`frame 1 at byte ${sound.length}: expected a length of at most \\d+ bytes, received 268435455`),
      ) as string,
    });
    expect(await refusal(Buffer.concat([sound, new Uint8Array(9).fill(0xff)]))).toMatchObject({
      code: 'INPUT_REFUSED',
    });
  });

  it('that are not there, or folders', async () => {
    await expect(openRecording(folder.file('none.l1f'))).rejects.toMatchObject({ code: 'INPUT_REFUSED' });
    mkdirSync(folder.file('folder.l1f'));
    await expect(openRecording(folder.file('folder.l1f'))).rejects.toMatchObject({ code: 'INPUT_REFUSED' });
  });

  it('whose extension is unknown, with the ones that are', async () => {
    await expect(openRecording('events.root')).rejects.toThrow(/events\.root.*\.l1f, \.l1f\.zst, \.h5, \.hdf5/);
    await expect(createRecording('events.zst', { header: HEADER })).rejects.toMatchObject({ code: 'INPUT_REFUSED' });
  });
});

describe('recordings that state what they hold', () => {
  /** The header with its length, and what follows, uncompressed. */
  const parts = (path: string): { header: Buffer; frames: Buffer } => {
    const bytes = readFileSync(path);
    const end = 1 + bytes[0]!;
    return { header: bytes.subarray(0, end), frames: bytes.subarray(end) };
  };

  it('are noticed when they were cut between two frames, after all that is there was read', async () => {
    const path = folder.file('r.l1f');
    const made = manyFrames(5, 10);
    await writeRecording(path, made);
    const { header, frames } = parts(path);
    for (const kept of [0, 1, 4]) {
      const end = made.slice(0, kept).reduce((sum, one) => sum + 2 + encodeFrame(one).length, 0);
      writeFileSync(path, Buffer.concat([header, frames.subarray(0, end)]));
      const reader = await openRecording(path);
      const read: number[] = [];
      const reading = (async (): Promise<void> => {
        for await (const { number } of reader.frames()) read.push(number);
      })();
      await expect(reading).rejects.toMatchObject({
        code: 'RECORDING_TRUNCATED',
        message: expect.stringMatching(
          new RegExp(`frame ${kept} at byte ${end} .*: expected 5 frames in ${frames.length} bytes`),
        ) as string,
      });
      await reader.close();
      expect(read).toHaveLength(kept);
    }
  });

  it('are noticed when whole zstd frames are missing at the end', async () => {
    const path = folder.file('r.l1f.zst');
    const writer = await createRecording(path, { header: HEADER });
    const [first, second] = manyFrames(2, 10);
    await writer.write(first!);
    await writer.flush();
    const { size } = statSync(`${path}.partial`);
    await writer.write(second!);
    await writer.close();
    truncateSync(path, size);
    await expect(readRecorded(path)).rejects.toMatchObject({
      code: 'RECORDING_TRUNCATED',
      message: expect.stringMatching(/expected 2 frames .*received 1 in/) as string,
    });
  });

  it('are refused where the checksum is compared and they hold more, or other bytes', async () => {
    const path = folder.file('r.l1f');
    const checked = async (): Promise<number> => {
      const reader = await openRecording(path);
      try {
        return (await collect(reader.frames({ checksum: true }))).length;
      } finally {
        await reader.close();
      }
    };
    await writeRecording(path, manyFrames(2, 10));
    expect(await checked()).toBe(2);
    const { header, frames } = parts(path);
    writeFileSync(path, Buffer.concat([header, frames, frames]));
    expect(await readRecorded(path)).toHaveLength(4);
    await expect(checked()).rejects.toThrow(/frame 2: expected the end after \d+ bytes of frames, received 4 frames/);
    const changed = Buffer.from(frames);
    changed[changed.length - 5]! ^= 1;
    writeFileSync(path, Buffer.concat([header, changed]));
    expect(await readRecorded(path)).toHaveLength(2);
    await expect(checked()).rejects.toThrow(/expected frames with the CRC-32 [0-9a-f]{8}/);
  });

  it('that state nothing, as older ones, are read as far as they go', async () => {
    const path = folder.file('r.l1f');
    const made = manyFrames(3, 10);
    await writeRecording(path, made);
    const { frames } = parts(path);
    const end = made.slice(0, 2).reduce((sum, one) => sum + 2 + encodeFrame(one).length, 0);
    // magic (field 1) "L1F", version (field 2) 1
    const old = Uint8Array.of(7, 0x0a, 3, 0x4c, 0x31, 0x46, 0x10, 1);
    writeFileSync(path, Buffer.concat([old, frames.subarray(0, end)]));
    expect(await readRecorded(path)).toHaveLength(2);
  });
});

describe('foreign and damaged zstd files', () => {
  const FRAMES = 450;
  const some = manyFrames(8, 500);
  const frames = Array.from({ length: FRAMES }, (_, number) => some[number % some.length]!);
  const content = async (): Promise<Buffer> => {
    const path = folder.file('content.l1f');
    await writeRecording(path, frames); // 17 MiB: more than is decoded at once
    return readFileSync(path);
  };

  it('are read when they are one frame of any size, several, or have skippable frames between', async () => {
    const whole = await content();
    const encoder = new Encoder(1);
    const half = Math.floor(whole.length / 2);
    const skippable = Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    const variants = {
      'one.l1f.zst': encoder.encodeSync(whole),
      'two.l1f.zst': Buffer.concat([
        skippable,
        encoder.encodeSync(whole.subarray(0, half)),
        encoder.encodeSync(Buffer.alloc(0)),
        skippable,
        encoder.encodeSync(whole.subarray(half)),
      ]),
    };
    for (const [name, bytes] of Object.entries(variants)) {
      writeFileSync(folder.file(name), bytes);
      const recorded = await readRecorded(folder.file(name));
      expect(recorded.map(({ number }) => number)).toEqual(Array.from({ length: FRAMES }, (_, number) => number));
      expect(recorded.every(({ bytes, number }) => Buffer.from(encodeFrame(frames[number]!)).equals(bytes))).toBe(true);
    }
  });

  it.skipIf(!hasZstd())('agree with the zstd command line both ways', async () => {
    const whole = await content();
    const ours = folder.file('ours.l1f.zst');
    await writeRecording(ours, frames);
    expect(execFileSync('zstd', ['-dc', ours], { maxBuffer: 2 ** 26 }).equals(whole)).toBe(true);
    const theirs = folder.file('theirs.l1f.zst');
    execFileSync('zstd', ['-q', '--check', folder.file('content.l1f'), '-o', theirs]);
    expect(await readRecorded(theirs)).toHaveLength(FRAMES);

    // The command line adds a checksum: a changed bit is found.
    const changed = readFileSync(theirs);
    changed[changed.length - 2]! ^= 1;
    writeFileSync(theirs, changed);
    await expect(readRecorded(theirs)).rejects.toMatchObject({
      code: 'INPUT_REFUSED',
      message: expect.stringMatching(/zstd frame at byte 0 of the file is corrupt/) as string,
    });
  });

  it('are refused with their place when they are not zstd', async () => {
    const ours = folder.file('garbled.l1f.zst');
    await writeRecording(ours, manyFrames(2, 100));
    writeFileSync(ours, Buffer.concat([readFileSync(ours), Buffer.from('not zstd at all')]));
    await expect(readRecorded(ours)).rejects.toMatchObject({
      code: 'INPUT_REFUSED',
      message: expect.stringMatching(
        /expected a zstd frame \(28 b5 2f fd\) at byte \d+ of the file, received 6e 6f 74 20/,
      ) as string,
    });
  });

  it('never hang or crash, whatever bytes are changed', async () => {
    const ours = folder.file('changed.l1f.zst');
    await writeRecording(ours, manyFrames(2, 60));
    const bytes = readFileSync(ours);
    const path = folder.file('damaged.l1f.zst');
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const damaged = Buffer.from(bytes);
        damaged[at]! ^= change;
        writeFileSync(path, damaged);
        const outcome = await readRecorded(path).catch((error: unknown) => error);
        if (!Array.isArray(outcome)) {
          expect(outcome).toMatchObject({ name: 'TriggerError', message: expect.stringContaining(path) as string });
        }
      }),
      { numRuns: 150 },
    );
  });
});

function hasZstd(): boolean {
  try {
    execFileSync('zstd', ['--version']);
    return true;
  } catch {
    return false;
  }
}
