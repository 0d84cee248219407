/** The ledger beside a recording: written by real processes, killed in between, and verified by others. */
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { chainOf, type LedgerEntry } from '#nae/ledger/entry.js';
import { entryOfLine, ledgerLine } from '#nae/ledger/ledger-file.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { decidedBefore } from '../fixtures/checkpoint.js';
import { cli, ROOT, runCli, startCli } from '../fixtures/cli.js';

const SAMPLE = join(ROOT, 'models', 'recordings', 'sample.l1f.zst');
const MODEL = ['--model', 'nae-events-s', '--target-rate', '1e-2', '--device', 'cpu'];

const folder = mkdtempSync(join(tmpdir(), 'nae-ledger-'));
const input = join(folder, 'in.l1f');
const output = join(folder, 'out.l1f');
const FILES = ['', '.accepted.jsonl', '.ledger.jsonl'];

function run(sink: string, ...more: string[]): string[] {
  return ['run', '--source', input, '--sink', sink, ...MODEL, ...more];
}

interface Verdict {
  readonly code: number | null;
  readonly stderr: string;
  readonly result: Record<string, unknown>;
}

async function verify(sink: string, source = input, model: readonly string[] = MODEL): Promise<Verdict> {
  const args = ['verify', '--source', source, '--sink', sink, ...model, '--json', '-'];
  const { code, stdout, stderr } = await runCli(args);
  return { code, stderr, result: stdout === '' ? {} : (JSON.parse(stdout) as Record<string, unknown>) };
}

const linesOf = (path: string): string[] => readFileSync(path, 'utf8').split('\n').slice(0, -1);
const entriesOf = (sink: string): LedgerEntry[] => linesOf(`${sink}.ledger.jsonl`).map(entryOfLine);

interface AcceptedLine {
  source: { offset: number; index: number };
  paths: { score: number }[];
}

/** The output once more, under its own name in a folder of its own. */
function copied(name: string): string {
  const sink = join(folder, name, 'out.l1f');
  rmSync(join(folder, name), { recursive: true, force: true });
  mkdirSync(join(folder, name));
  for (const file of FILES) copyFileSync(`${output}${file}`, `${sink}${file}`);
  return sink;
}

function changed(path: string, change: (lines: string[]) => readonly string[]): void {
  writeFileSync(path, [...change(linesOf(path)), ''].join('\n'));
}

/** The files once more, with the accepted events changed in the recording too, so that it holds what is beside it. */
function change(name: string, of: (lines: string[]) => readonly string[]): string {
  const sink = copied(name);
  changed(`${sink}.accepted.jsonl`, of);
  return sink;
}

let events: AcceptedLine[];
const placeOf = ({ source }: AcceptedLine): string => `0/${source.offset}/${source.index}`;

beforeAll(async () => {
  await cli('convert', SAMPLE, input, '--frame-events', '1024');
  // An entry for each checkpoint.
  await cli(...run(output, '--checkpoint-interval-ms', '20'));
  expect(entriesOf(output).length).toBeGreaterThan(2);
  events = linesOf(`${output}.accepted.jsonl`).map((line) => JSON.parse(line) as AcceptedLine);
  expect(events.length).toBeGreaterThan(1000);
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

test('says of every frame what was decided, in one chain, and is verified', async () => {
  const entries = entriesOf(output);
  let chain: Uint8Array = new Uint8Array(0);
  for (const { previous, frames, chain: after, sink, source, atLeastOnce } of entries) {
    expect(Buffer.from(previous)).toEqual(Buffer.from(chain));
    expect(Buffer.from(chainOf(previous, frames))).toEqual(Buffer.from(after));
    expect({ sink, source, atLeastOnce }).toEqual({ sink: 'out.l1f', source: 'in.l1f', atLeastOnce: false });
    chain = after;
  }
  const lines = entries.flatMap(({ frames }) => frames);
  expect(lines.map(({ offset }) => Number(offset))).toEqual(lines.map((_, number) => number));
  expect(lines.reduce((sum, { accepted }) => sum + accepted, 0)).toBe(events.length);

  const { code, result } = await verify(output);
  expect(result.difference).toBeUndefined();
  expect(result).toMatchObject({
    verdict: 'identical',
    frames: lines.length,
    accepted: events.length,
    frames_decided_elsewhere: 0,
    frames_outside_ledger: 0,
    repeated: 0,
  });
  expect(code).toBe(0);
});

test('killed at random moments and gone on with, is the same as of a run that was not', async () => {
  const sink = join(folder, 'killed', 'out.l1f');
  mkdirSync(join(folder, 'killed'));
  const total = entriesOf(output).flatMap(({ frames }) => frames).length;
  let inTheMiddle = 0;
  for (let kills = 0; kills < 5; kills++) {
    const running = startCli(
      run(sink, '--resume', '--checkpoint-interval-ms', '20', '--max-in-flight-bytes', '1000000', '--workers', '1'),
    );
    await Promise.race([running.said('stream up'), running.finished]).catch(() => undefined);
    // By its checkpoint and not by the clock: a fast machine has soon decided all of it.
    const from = decidedBefore(sink);
    const aim = from + Math.floor(Math.random() * 0.5 * (total - from));
    while (running.process.exitCode === null && decidedBefore(sink) < aim) await delay(2);
    running.process.kill('SIGKILL');
    await running.finished;
    if (existsSync(`${sink}.ledger.jsonl.partial`) && linesOf(`${sink}.ledger.jsonl.partial`).length > 0) inTheMiddle++;
  }
  await cli(...run(sink, '--resume'));
  // Otherwise nothing was gone on with, and this shows nothing.
  expect(inTheMiddle).toBeGreaterThan(0);
  const frames = (of: string): unknown[] =>
    entriesOf(of).flatMap((entry) =>
      entry.frames.map(({ offset, digest }) => [offset, Buffer.from(digest).toString('hex')]),
    );
  expect(frames(sink)).toEqual(frames(output));
  expect(entriesOf(sink).at(-1)!.chain).toEqual(entriesOf(output).at(-1)!.chain);
  expect(await verify(sink)).toMatchObject({ code: 0, result: { verdict: 'identical' } });
});

describe('a difference is named by its first place', () => {
  const at = 321;

  test.each<[string, (lines: string[]) => readonly string[], RegExp, RegExp]>([
    ['removed', (lines) => lines.toSpliced(at, 1), /^accepted by nae-events-s/, /^not published$/],
    ['duplicated', (lines) => lines.toSpliced(at, 0, lines[at]!), /^published once$/, /^again: accepted by/],
    [
      'given another score',
      (lines) => lines.with(at, lines[at]!.replace(/"score":[^,]+/, '"score":1.5')),
      /^accepted by nae-events-s/,
      / 1\.5 >= /,
    ],
    [
      'given another crossing',
      (lines) => lines.with(at, lines[at]!.replace(/"bunch_crossing":\d+/, '"bunch_crossing":3564')),
      /^accepted by nae-events-s/,
      /crossing 3564/,
    ],
  ])('an accepted event that was %s', async (_, plant, expected, received) => {
    const { code, result } = await verify(change('planted', plant));
    expect(result.difference).toEqual({
      where: placeOf(events[at]!),
      what: 'event',
      expected: expect.stringMatching(expected) as string,
      received: expect.stringMatching(received) as string,
    });
    expect(code).toBe(1);
  });

  test('an event of the recording that is not what was written beside it', async () => {
    const sink = copied('planted');
    const { objects } = JSON.parse(linesOf(`${sink}.accepted.jsonl`)[at]!) as { objects: string };
    flip(sink, readFileSync(sink).indexOf(Buffer.from(objects, 'base64')) + 5);
    const { code, result } = await verify(sink);
    expect(result.difference).toMatchObject({
      where: `event ${at} of ${sink}`,
      what: 'recording',
      expected: expect.stringContaining(placeOf(events[at]!)) as string,
    });
    expect(code).toBe(1);
  });

  test('a frame of the input that was changed: its first event that differs, or the frame', async () => {
    const source = join(folder, 'changed', 'in.l1f');
    mkdirSync(join(folder, 'changed'));
    copyFileSync(input, source);
    // An accepted event: its frame has another checksum, and the event is not the one that was published.
    const { objects } = JSON.parse(linesOf(`${output}.accepted.jsonl`)[at]!) as { objects: string };
    const place = readFileSync(source).indexOf(Buffer.from(objects, 'base64'));
    flip(source, place);
    const accepted = await verify(output, source);
    expect(accepted.result.difference).toMatchObject({ where: placeOf(events[at]!), what: 'input' });
    expect(accepted.code).toBe(1);
    // A label, which no decision depends on.
    copyFileSync(input, source);
    const bytes = readFileSync(source);
    flip(source, bytes.length - 1, 0);
    const frame = await verify(output, source);
    expect(frame.result.difference).toMatchObject({
      where: `0/${entriesOf(output).at(-1)!.frames.at(-1)!.offset}`,
      what: 'input',
      expected: expect.stringMatching(/^checksum [0-9a-f]{32}$/) as string,
    });
    expect(frame.code).toBe(1);
  });

  test('an entry of the ledger that is missing, or was changed', async () => {
    const entries = entriesOf(output);
    const number = Math.floor(entries.length / 2);
    const [frame] = entries[number]!.frames;
    const missing = copied('planted');
    changed(`${missing}.ledger.jsonl`, (lines) => lines.toSpliced(number, 1));
    // Its first frame, or the first event of it that was published.
    expect((await verify(missing)).result.difference).toMatchObject({
      where: expect.stringMatching(new RegExp(`^0/${frame!.offset}(/|$)`)) as string,
      what: 'ledger',
      expected: 'a line in the ledger',
    });
    const other = copied('planted');
    const digest = Buffer.from(frame!.digest);
    digest[0]! ^= 1;
    const frames = entries[number]!.frames.with(0, { ...frame!, digest });
    changed(`${other}.ledger.jsonl`, (lines) =>
      lines.with(number, ledgerLine({ ...entries[number]!, frames }).trimEnd()),
    );
    expect((await verify(other)).result.difference).toMatchObject({ where: `0/${frame!.offset}`, what: 'ledger' });
  });
});

test('decided in another environment it is compared within the tolerance, and says so', async () => {
  const elsewhere = (scale: number): string => {
    const sink = change('elsewhere', (lines) =>
      lines.map((line) => line.replace(/"score":([^,]+)/, (_, score) => `"score":${Number(score) * scale}`)),
    );
    // As another processor would have written it: all digests are others.
    let chain: Uint8Array = new Uint8Array(0);
    changed(`${sink}.ledger.jsonl`, () =>
      entriesOf(output).map((entry) => {
        const frames = entry.frames.map((frame) => ({
          ...frame,
          digest: createHash('sha256').update(frame.digest).digest(),
        }));
        const previous = chain;
        chain = chainOf(previous, frames);
        return ledgerLine({ ...entry, environment: 'elsewhere', previous, frames, chain }).trimEnd();
      }),
    );
    return sink;
  };
  const close = await verify(elsewhere(1 + 1e-5));
  expect(close.result.difference).toBeUndefined();
  expect(close).toMatchObject({
    code: 0,
    result: { verdict: 'within tolerance', tolerance: 1e-4, frames_decided_elsewhere: close.result.frames as number },
  });
  const far = await verify(elsewhere(1 + 1e-3));
  expect(far).toMatchObject({ code: 1, result: { difference: { where: placeOf(events[0]!), what: 'event' } } });
});

test('an output that is unfinished, or has no ledger, is refused', async () => {
  const sink = join(folder, 'without', 'out.l1f');
  mkdirSync(join(folder, 'without'));
  await cli(...run(sink, '--ledger', 'none'));
  expect(existsSync(`${sink}.ledger.jsonl`)).toBe(false);
  expect(await verify(sink)).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/out\.l1f\.ledger\.jsonl: line 1: cannot be read: ENOENT/) as string,
  });
  renameSync(sink, `${sink}.partial`);
  expect((await verify(sink)).stderr).toMatch(/unfinished: expected a whole output/);
});

/** Flip the lowest bit of a byte, or of the last byte with this value before it. */
function flip(path: string, at: number, value?: number): void {
  const bytes = readFileSync(path);
  while (value !== undefined && bytes[at] !== value) at--;
  expect(at).toBeGreaterThan(0);
  bytes[at]! ^= 1;
  writeFileSync(path, bytes);
}
