/** Faults around recordings: killed runs that are gone on with, full disks, refused writes, cut inputs. */
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { StreamSummary } from '#nae/pipeline/stream-totals.js';

import { decidedBefore } from '../fixtures/checkpoint.js';
import { cli, ROOT, runCli, startCli, type Finished } from '../fixtures/cli.js';
import { framesOf, plausibleCodes } from '../pipeline/events.js';
import { writeRecording } from '../recording/recordings.js';
import { compare, expectExact } from './report.js';

const LONG = process.env.FAULTS === 'long';
const KILLS = LONG ? 30 : 6;
const FRAME_EVENTS = 512;
const SAMPLE = join(ROOT, 'models', 'recordings', 'sample.l1f.zst');
const MODEL = ['--model', 'nae-events-s', '--target-rate', '1e-2', '--device', 'cpu'];

const folder = mkdtempSync(join(tmpdir(), 'nae-faults-'));
const file = (name: string): string => join(folder, name);
let input: string;
let events: number;
let expected: string[];

/** `partition/offset/index/score` of every accepted event of a recording sink. */
function acceptedOf(path: string): string[] {
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => {
    const { source, paths } = JSON.parse(line) as {
      source: { partition: number; offset: number; index: number };
      paths: { score: number }[];
    };
    return `${source.partition}/${source.offset}/${source.index}/${paths[0]!.score}`;
  });
}

function runArgs(source: string, sink: string, ...more: string[]): string[] {
  return ['run', '--source', source, '--sink', sink, ...MODEL, '--max-in-flight-bytes', '1000000', ...more];
}

beforeAll(async () => {
  input = file('in.l1f');
  await cli('convert', SAMPLE, input, '--frame-events', String(FRAME_EVENTS));
  const json = file('whole.json');
  await cli(...runArgs(input, file('whole.l1f')), '--json', json);
  events = (JSON.parse(readFileSync(json, 'utf8')) as StreamSummary).events.received;
  expected = acceptedOf(`${file('whole.l1f')}.accepted.jsonl`);
  expect(expected.length).toBeGreaterThan(1000);
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('a run from recording to recording', () => {
  it.each(['killed.l1f', 'killed.l1f.zst'])(
    'into %s, killed at random moments and gone on with, neither repeats nor skips',
    async (name) => {
      const sink = file(name);
      let kills = 0;
      let repetitions = 0;
      let inTheMiddle = 0;
      let longest = 0;
      let finished: Finished | undefined;
      for (let total = 0; finished === undefined; total++) {
        expect(total).toBeLessThan(20 * KILLS);
        const began = performance.now();
        const running = startCli(runArgs(input, sink, '--resume', '--checkpoint-interval-ms', '20'));
        if (repetitions >= KILLS && inTheMiddle > 0) {
          finished = await running.finished;
          longest = (performance.now() - began) / 1000;
          break;
        }
        await Promise.race([running.said('stream up'), running.finished]).catch(() => undefined);
        // Somewhere in what is left, by its checkpoint and not by the clock: a fast machine has soon decided all of it.
        const from = decidedBefore(sink);
        const aim = from + Math.floor(Math.random() * 0.8 * (Math.ceil(events / FRAME_EVENTS) - from));
        while (running.process.exitCode === null && decidedBefore(sink) < aim) await delay(2);
        running.process.kill('SIGKILL');
        const { code } = await running.finished;
        if (code === null && decidedBefore(sink) > 0) inTheMiddle++;
        if (code === null) kills++;
        repetitions++;
        // All of the input was decided before the last kill: begin again, until enough were killed.
        if (code === 0) {
          expect(compare(expected, acceptedOf(`${sink}.accepted.jsonl`))).toEqual({
            lost: 0,
            duplicated: 0,
            foreign: 0,
          });
          for (const suffix of ['', '.accepted.jsonl', '.ledger.jsonl']) rmSync(`${sink}${suffix}`);
        }
      }
      expect(finished.code).toBe(0);
      // Otherwise nothing was gone on with, and this shows nothing.
      expect(inTheMiddle).toBeGreaterThan(0);
      expectExact(
        {
          fault: `SIGKILL at random moments, recording to ${name.replace('killed', '')}`,
          repetitions: kills,
          events,
          recoverySeconds: longest,
        },
        expected,
        acceptedOf(`${sink}.accepted.jsonl`),
      );
      const { problem, events: kept } = JSON.parse(await cli('inspect', sink, '--json', '-')) as {
        problem?: string;
        events: number;
      };
      expect(problem ?? null).toBeNull();
      expect(kept).toBe(expected.length);
      expect(existsSync(`${sink}.checkpoint.json`)).toBe(false);
    },
  );

  it('that was interrupted is not taken for a whole one, and not for another', async () => {
    const sink = file('stopped.l1f');
    const running = startCli(runArgs(input, sink));
    await running.said('stream up');
    running.process.kill('SIGINT');
    const { code, stderr } = await running.finished;
    expect(code).toBe(130);
    expect(stderr).toMatch(/stopped before the end: the output is unfinished, --resume goes on with it/);
    expect(existsSync(sink)).toBe(false);
    const again = await runCli(runArgs(input, sink));
    expect(again).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/unfinished output is there.*--resume/) as string,
    });
    // Another recording of the same name, another threshold.
    mkdirSync(file('other'));
    await writeRecording(file('other/in.l1f'), framesOf(plausibleCodes(4000, 3), new Array<number>(8).fill(500)));
    const other = await runCli(runArgs(file('other/in.l1f'), sink, '--resume'));
    expect(other).toMatchObject({ code: 2, stderr: expect.stringMatching(/begun with another source/) as string });
    const rate = await runCli([
      'run',
      '--source',
      input,
      '--sink',
      sink,
      '--model',
      'nae-events-s',
      '--target-rate',
      '1e-3',
      '--resume',
    ]);
    expect(rate).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/begun with another path nae-events-s/) as string,
    });
    expect((await runCli(runArgs(input, sink, '--resume'))).code).toBe(0);
    expect(compare(expected, acceptedOf(`${sink}.accepted.jsonl`))).toEqual({ lost: 0, duplicated: 0, foreign: 0 });
  });
});

describe('a recording that was cut', () => {
  it.each(['between two frames', 'inside a frame'])(
    '%s: what is there is decided, the rest after it came',
    async (where) => {
      const source = file('cut.l1f');
      const sink = file(`cut-${where.replaceAll(' ', '-')}.l1f`);
      copyFileSync(input, source);
      // The frames of the sample have one length, but for their variable-length orbits: find a border by reading.
      const bytes = readFileSync(source);
      let at = 0;
      for (let message = 0; message < 200; message++) at = endOfMessage(bytes, at);
      truncateSync(source, where === 'inside a frame' ? at + 100 : at);
      const cut = await runCli(runArgs(source, sink, '--resume'));
      expect(cut.code).toBe(1);
      expect(cut.stderr).toMatch(/cut\.l1f: frame 199 at byte \d+/);
      const partial = acceptedOf(`${sink}.accepted.jsonl.partial`);
      expect(partial.sort()).toEqual(expected.filter((key) => Number(key.split('/')[1]) < 199).sort());
      copyFileSync(input, source);
      expect((await runCli(runArgs(source, sink, '--resume'))).code).toBe(0);
      const fault = `input .l1f cut ${where}, later whole`;
      expectExact({ fault, repetitions: 1, events }, expected, acceptedOf(`${sink}.accepted.jsonl`));
    },
  );

  it.each(['cut.l1f.zst', 'cut.h5'])('%s ends the run with its place, and never with exit code 0', async (name) => {
    const source = file(name);
    if (name.endsWith('.h5')) await cli('convert', SAMPLE, source);
    else copyFileSync(SAMPLE, source);
    truncateSync(source, Math.floor(statSync(source).size / 2));
    const { code, stderr } = await runCli(runArgs(source, file(`${name}-out.l1f`)));
    expect([1, 2]).toContain(code);
    expect(stderr).toContain(name);
    expect(stderr).toMatch(/truncated|ends inside|before the end/);
    expect(existsSync(file(`${name}-out.l1f`))).toBe(false);
  });
});

/** Whether this process may mount a file system of its own. */
function canMount(): boolean {
  const place = mkdtempSync(join(tmpdir(), 'nae-mount-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', place]).status === 0;
  if (mounted) spawnSync('umount', [place]);
  rmSync(place, { recursive: true, force: true });
  return mounted;
}

describe('writes that are refused', () => {
  it.skipIf(!canMount())('a full disk ends the run; with room again it goes on where it was', async () => {
    const disk = file('disk');
    mkdirSync(disk);
    const mounted = (options: string): void => {
      const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', disk]);
      if (status !== 0) throw new Error(stderr.toString());
    };
    mounted('size=1m');
    try {
      const sink = join(disk, 'out.l1f');
      const { code, stderr } = await runCli(runArgs(input, sink));
      expect(code).toBe(1);
      expect(stderr).toMatch(/out\.l1f: cannot be written: .*(ENOSPC|no space left)/);
      expect(existsSync(sink)).toBe(false);
      mounted('remount,size=64m');
      const began = performance.now();
      expect((await runCli(runArgs(input, sink, '--resume'))).code).toBe(0);
      const recoverySeconds = (performance.now() - began) / 1000;
      const told = { fault: 'disk full, later room', repetitions: 1, events, recoverySeconds };
      expectExact(told, expected, acceptedOf(`${sink}.accepted.jsonl`));
    } finally {
      spawnSync('umount', [disk]);
    }
  });

  it('a limit on the size of files ends the run with its reason', async () => {
    const sink = file('limited.l1f');
    const main = join(ROOT, 'dist', 'cli', 'main.js');
    // In units of 512 bytes or 1 KiB, by shell; SIGXFSZ is ignored by Node.js, so writes fail with EFBIG.
    const child = spawn(
      'sh',
      ['-c', 'ulimit -f 400; exec "$@"', 'sh', process.execPath, main, ...runArgs(input, sink)],
      {
        cwd: ROOT,
      },
    );
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect(stderr).toMatch(/limited\.l1f: cannot be written: .*EFBIG/);
    expect(code).toBe(1);
    expect((await runCli(runArgs(input, sink, '--resume'))).code).toBe(0);
    expect(compare(expected, acceptedOf(`${sink}.accepted.jsonl`))).toEqual({ lost: 0, duplicated: 0, foreign: 0 });
  });

  it.skipIf(process.getuid?.() === 0)('a folder that may not be written to is refused', async () => {
    mkdirSync(file('locked'));
    chmodSync(file('locked'), 0o500);
    const { code, stderr } = await runCli(runArgs(input, file('locked/out.l1f')));
    expect(stderr).toMatch(/locked\/out\.l1f: cannot be created: EACCES/);
    expect(code).toBe(2);
  });
});

/** Where the message that starts at `at`, behind its varint length, ends. */
function endOfMessage(bytes: Buffer, at: number): number {
  let length = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++]!;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) return at + length;
  }
}
