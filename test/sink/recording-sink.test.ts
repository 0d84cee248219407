import { appendFileSync, existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import type { AcceptedEvent, DeadLetter, SourcePosition } from '#nae/event/accepted-event.js';
import { bunchCrossingOf, labelOf, objectsOf, orbitOf } from '#nae/event/frame.js';
import { bytesPerEvent, Encoding } from '#nae/event/layout.js';
import { openRecording } from '#nae/recording/open.js';
import type { LedgerSection } from '#nae/ledger/entry.js';
import { entryOfLine } from '#nae/ledger/ledger-file.js';
import { readCheckpoint } from '#nae/sink/checkpoint.js';
import { RecordingSink } from '#nae/sink/recording-sink.js';

import { collect, HEADER, readFrames } from '../recording/recordings.js';
import { temporaryFolder } from '../recording/temporary-folder.js';

const folder = temporaryFolder();

function accepted(number: number, changes: Partial<AcceptedEvent> = {}): AcceptedEvent {
  const encoding = changes.encoding ?? Encoding.HW32;
  return {
    run: 3,
    luminositySection: 1,
    orbit: 262_144 + number,
    bunchCrossing: 10 + number,
    encoding,
    objects: new Uint8Array(bytesPerEvent(encoding)).fill(number),
    paths: [
      { path: 'nae', model: 'nae-events-s', modelSha256: 'ab'.repeat(32), score: 1.5, threshold: 1.25 },
      { path: 'ae', model: 'ae-events-s', modelSha256: 'cd'.repeat(32), score: 0.5, threshold: 0.25 },
    ],
    position: { source: 'l1.frames', partition: 2, offset: 40n + BigInt(number) },
    index: number,
    label: number % 2,
    ...changes,
  };
}

const deadLetter: DeadLetter = {
  kind: 'frame',
  reason: 'not-protobuf',
  detail: 'index out of range',
  position: { source: 'l1.frames', partition: 0, offset: 2n ** 60n },
  index: undefined,
  bytes: Uint8Array.of(1, 2, 255),
};

const lines = (path: string): unknown[] =>
  readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);

describe('the recording sink', () => {
  it.each(['out.l1f', 'out.l1f.zst'])('keeps accepted events in %s, and what was decided beside it', async (name) => {
    const path = folder.file(name);
    const sink = await RecordingSink.create(path, { header: HEADER });
    const first = [accepted(0), accepted(1), accepted(2, { encoding: Encoding.PHYS32 })];
    const second = [accepted(3, { run: 4 }), accepted(4, { label: undefined, run: 4 })];
    await sink.write({ accepted: first, deadLetters: [] });
    await sink.write({ accepted: [], deadLetters: [] });
    await sink.write({ accepted: second, deadLetters: [] });
    await sink.complete();
    await sink.close();

    expect(sink.name).toBe(path);
    const frames = await readFrames(path);
    expect(frames.map(({ run, encoding, eventCount }) => [run, encoding, eventCount])).toEqual([
      [3, Encoding.HW32, 2],
      [3, Encoding.PHYS32, 1],
      [4, Encoding.HW32, 1],
      [4, Encoding.HW32, 1],
    ]);
    const events = [...first, ...second];
    let number = 0;
    for (const frame of frames) {
      for (let index = 0; index < frame.eventCount; index++) {
        const event = events[number++]!;
        expect(orbitOf(frame, index)).toBe(event.orbit);
        expect(bunchCrossingOf(frame, index)).toBe(event.bunchCrossing);
        expect(labelOf(frame, index)).toBe(event.label);
        expect(objectsOf(frame, index)).toEqual(event.objects);
      }
    }
    const written = lines(`${path}.accepted.jsonl`);
    expect(written).toHaveLength(5);
    expect(written[1]).toEqual({
      run: 3,
      luminosity_section: 1,
      orbit: 262_145,
      bunch_crossing: 11,
      encoding: 'HW32',
      objects: Buffer.alloc(76, 1).toString('base64'),
      paths: [
        { path: 'nae', model: 'nae-events-s', model_sha256: 'ab'.repeat(32), score: 1.5, threshold: 1.25 },
        { path: 'ae', model: 'ae-events-s', model_sha256: 'cd'.repeat(32), score: 0.5, threshold: 0.25 },
      ],
      source: { source: 'l1.frames', partition: 2, offset: 41, index: 1 },
      label: 1,
    });
    expect(written[4]).not.toHaveProperty('label');
    expect(existsSync(`${path}.dead-letter.jsonl`)).toBe(false);
  });

  it('keeps dead letters with the bytes as they came', async () => {
    const path = folder.file('out.l1f');
    const sink = await RecordingSink.create(path, { header: HEADER });
    const event: DeadLetter = { ...deadLetter, kind: 'event', reason: 'eta-out-of-range', index: 7 };
    await sink.write({ accepted: [], deadLetters: [deadLetter] });
    await sink.write({ accepted: [], deadLetters: [event] });
    await sink.complete();
    await sink.close();
    expect(lines(`${path}.dead-letter.jsonl`)).toEqual([
      {
        kind: 'frame',
        reason: 'not-protobuf',
        detail: 'index out of range',
        source: { source: 'l1.frames', partition: 0, offset: '1152921504606846976' },
        bytes: 'AQL/',
      },
      expect.objectContaining({
        kind: 'event',
        source: { source: 'l1.frames', partition: 0, offset: '1152921504606846976', index: 7 },
      }),
    ]);
    expect(await readFrames(path)).toEqual([]);
  });

  it('has a delivery with the operating system once written, though it is never closed', async () => {
    const path = folder.file('killed.l1f.zst');
    const sink = await RecordingSink.create(path, { header: HEADER });
    await sink.write({ accepted: [accepted(0)], deadLetters: [deadLetter] });
    writeFileSync(folder.file('found.l1f.zst'), readFileSync(`${path}.partial`));
    await expect(readFrames(folder.file('found.l1f.zst'))).rejects.toMatchObject({
      code: 'RECORDING_TRUNCATED',
      message: expect.stringMatching(/never finished it; it ends after 1 frames/) as string,
    });
    expect(lines(`${path}.accepted.jsonl.partial`)).toHaveLength(1);
    expect(lines(`${path}.dead-letter.jsonl.partial`)).toHaveLength(1);
    expect(existsSync(path)).toBe(false);
    await sink.close();
  });

  it.each(['out.l1f', 'out.l1f.zst'])(
    'goes on with an unfinished %s from its checkpoint, wherever it broke off',
    async (name) => {
      const path = folder.file(name);
      const frame = (number: number): [SourcePosition, Uint8Array] => [
        { source: 'in.l1f', partition: 0, offset: BigInt(number) },
        Uint8Array.of(number),
      ];
      const first = await RecordingSink.create(path, { header: HEADER, checkpointIntervalMs: 20 });
      await first.write({ accepted: [accepted(0)], deadLetters: [deadLetter] });
      first.finished(...frame(0));
      while ((await readCheckpoint(path))?.positions.length !== 1)
        await new Promise((resolve) => setTimeout(resolve, 5));
      const checkpoint = await readCheckpoint(path);
      expect(checkpoint).toMatchObject({ complete: false, positions: [{ source: 'in.l1f', partition: 0, next: '1' }] });
      // Written and finished, but its process dies before the next checkpoint.
      await first.write({ accepted: [accepted(1), accepted(2)], deadLetters: [deadLetter] });
      appendFileSync(`${path}.accepted.jsonl.partial`, '{"run": 3, "half a li');
      appendFileSync(`${path}.partial`, Buffer.from([9, 9, 9]));

      const resume = { header: HEADER, resume: checkpoint };
      const second = await RecordingSink.create(path, resume);
      await second.write({ accepted: [accepted(1), accepted(2)], deadLetters: [] });
      second.finished(...frame(1));
      await second.close();
      await expect(RecordingSink.create(path, { header: HEADER })).rejects.toThrow(
        /unfinished output is there.*--resume/,
      );

      const third = await RecordingSink.create(path, { header: HEADER, resume: await readCheckpoint(path) });
      await third.write({ accepted: [accepted(3)], deadLetters: [] });
      third.finished(...frame(2));
      await third.complete();
      await third.close();
      const written = lines(`${path}.accepted.jsonl`) as { source: { index: number } }[];
      expect(written.map(({ source }) => source.index)).toEqual([0, 1, 2, 3]);
      expect((await readFrames(path)).map(({ eventCount }) => eventCount)).toEqual([1, 2, 1]);
      const reader = await openRecording(path);
      expect(await collect(reader.frames({ checksum: true }))).toHaveLength(3);
      await reader.close();
      expect(lines(`${path}.dead-letter.jsonl`)).toHaveLength(1);
      expect(await readCheckpoint(path)).toBeUndefined();
    },
  );

  it('goes on with the chains of the ledger from the checkpoint, and with a ledger only where there was one', async () => {
    const path = folder.file('out.l1f');
    const ledger = { environment: 'here', atLeastOnce: false };
    const section = (partition: number, offset: number): LedgerSection => ({
      source: 'in.l1f',
      partition,
      frames: [
        {
          offset: BigInt(offset),
          menu: 1,
          accepted: 0,
          faults: 0,
          digest: new Uint8Array(32).fill(offset),
          input: new Uint8Array(16),
        },
      ],
      paths: [{ menu: 1, path: 'nae', modelSha256: 'ab'.repeat(32), threshold: 1.25 }],
    });
    const write = async (sink: RecordingSink, ...sections: LedgerSection[]): Promise<void> => {
      await sink.write({ accepted: [], deadLetters: [], ledger: sections });
      for (const { source, partition, frames } of sections) {
        sink.finished({ source, partition, offset: frames[0]!.offset }, Uint8Array.of(1));
      }
    };
    const first = await RecordingSink.create(path, { header: HEADER, ledger });
    await write(first, section(0, 1), section(1, 1));
    await write(first, section(0, 2));
    await first.close();
    // Of a process that died after its last checkpoint.
    appendFileSync(`${path}.ledger.jsonl.partial`, '{"source": "in.l1f", "half a li');
    const resume = await readCheckpoint(path);
    await expect(RecordingSink.create(path, { header: HEADER, resume })).rejects.toThrow(
      /begun with a ledger: expected the same --ledger/,
    );
    const second = await RecordingSink.create(path, { header: HEADER, ledger, resume });
    await write(second, section(0, 3), section(0, 4), section(1, 2));
    await second.complete();
    await second.close();
    const entries = readFileSync(`${path}.ledger.jsonl`, 'utf8').trimEnd().split('\n').map(entryOfLine);
    // One for each checkpoint and partition.
    const offsets = entries.map(({ partition, frames }) => [partition, ...frames.map(({ offset }) => Number(offset))]);
    expect(offsets).toEqual([
      [0, 1, 2],
      [1, 1],
      [0, 3, 4],
      [1, 2],
    ]);
    for (const partition of [0, 1]) {
      let chain: Uint8Array = new Uint8Array(0);
      for (const entry of entries.filter((one) => one.partition === partition)) {
        expect(entry).toMatchObject({ sink: 'out.l1f', environment: 'here' });
        expect(Buffer.from(entry.previous)).toEqual(Buffer.from(chain));
        chain = entry.chain;
      }
    }
  });

  it('refuses to go on with other models, or with files that lost what the checkpoint counts', async () => {
    const path = folder.file('out.l1f');
    const sink = await RecordingSink.create(path, { header: HEADER });
    await sink.write({ accepted: [accepted(0)], deadLetters: [] });
    await sink.close();
    const resume = await readCheckpoint(path);
    const other = { ...HEADER, provenance: new Map([['made by', 'another']]) };
    await expect(RecordingSink.create(path, { header: other, resume })).rejects.toThrow(
      /begun with another made by: expected a test, received another/,
    );
    truncateSync(`${path}.accepted.jsonl.partial`, 5);
    await expect(RecordingSink.create(path, { header: HEADER, resume })).rejects.toThrow(
      /accepted\.jsonl\.partial: cannot be gone on with: expected at least \d+ bytes, received 5/,
    );
  });

  it('refuses files that are there, unless to be overwritten: then nothing of them is left', async () => {
    const path = folder.file('again.l1f');
    const first = await RecordingSink.create(path, { header: HEADER });
    await first.write({ accepted: [accepted(0)], deadLetters: [deadLetter] });
    await first.complete();
    await first.close();
    for (const suffix of ['', '.accepted.jsonl', '.dead-letter.jsonl']) {
      const other = folder.file(`other${suffix.replaceAll(/\W/g, '')}.l1f`);
      writeFileSync(`${other}${suffix}`, 'mine');
      await expect(RecordingSink.create(other, { header: HEADER })).rejects.toMatchObject({ code: 'INPUT_REFUSED' });
      expect(readFileSync(`${other}${suffix}`, 'utf8')).toBe('mine');
    }
    const second = await RecordingSink.create(path, { header: HEADER, overwrite: true });
    await second.complete();
    await second.close();
    expect(await readFrames(path)).toEqual([]);
    expect(readFileSync(`${path}.accepted.jsonl`, 'utf8')).toBe('');
    expect(existsSync(`${path}.dead-letter.jsonl`)).toBe(false);
  });

  it('refuses HDF5 and folders that are not there', async () => {
    await expect(RecordingSink.create(folder.file('out.h5'), { header: HEADER })).rejects.toThrow(
      /\.l1f or \.l1f\.zst/,
    );
    await expect(RecordingSink.create(folder.file('none/out.l1f'), { header: HEADER })).rejects.toMatchObject({
      code: 'INPUT_REFUSED',
    });
  });
});
