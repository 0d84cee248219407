/** `run --cascade` as a user runs it: from a recording, through Kafka, verified, and with a student that was exchanged. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { startLocalBroker, type LocalBroker } from '#nae/broker/local-broker.js';
import type { CascadeResult } from '#nae/evaluate/cascade.js';
import { decodeAcceptedEvent, type AcceptedEvent } from '#nae/event/accepted-event.js';
import { loadBundle } from '#nae/model/bundle.js';
import { loadStudent } from '#nae/model/student.js';
import { acceptedOfLine } from '#nae/sink/result-lines.js';
import { silentLogger } from '#nae/telemetry/logger.js';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { cli, ROOT, runCli } from '../fixtures/cli.js';
import { readTopic } from '../fixtures/read-topic.js';

const MODEL = 'nae-events-s';
const BUNDLE = join(ROOT, 'models', 'bundles', MODEL);
// So low that the teacher accepts events that the student rejects.
const CUT = ['--target-rate', '1e-2', '--device', 'cpu', '--workers', '2'];
const folder = mkdtempSync(join(tmpdir(), 'nae-cascade-'));
const file = (name: string): string => join(folder, name);
let broker: LocalBroker;

beforeAll(async () => {
  broker = await startLocalBroker({ log: silentLogger(), topics: [{ name: 'in', partitions: 2 }] });
  await cli('convert', join(ROOT, 'models', 'recordings', 'sample.l1f.zst'), file('in.l1f'), '--frame-events', '1000');
});
afterAll(async () => {
  await broker.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Accepted events as they are told apart wherever they were read: in order of run, orbit and crossing. */
function keys(events: readonly AcceptedEvent[]): string[] {
  const told = events.map(({ run, orbit, bunchCrossing, objects, paths }) =>
    JSON.stringify([run, orbit, bunchCrossing, Buffer.from(objects).toString('hex'), paths.map(({ score }) => score)]),
  );
  return told.sort();
}

function acceptedBeside(sink: string): AcceptedEvent[] {
  return readFileSync(`${sink}.accepted.jsonl`, 'utf8').split('\n').slice(0, -1).map(acceptedOfLine);
}

/** Float32 scores behind the header of a NumPy file. */
function scoresOf(path: string): Float32Array {
  const bytes = readFileSync(path);
  return new Float32Array(
    bytes.buffer.slice(bytes.byteOffset + 10 + bytes.readUInt16LE(8), bytes.byteOffset + bytes.length),
  );
}

/** Let the student of a bundle cut that much higher. */
function moveCut(bundle: string, by: number): void {
  const manifest = join(bundle, 'student', 'manifest.json');
  const moved = JSON.parse(readFileSync(manifest, 'utf8')) as { cascade: { cut: number } };
  moved.cascade.cut = Math.fround(moved.cascade.cut + by);
  writeFileSync(manifest, JSON.stringify(moved));
}

async function verify(source: string, sink: string, ...more: string[]) {
  const args = ['verify', '--source', source, '--sink', sink, ...CUT, '--json', '-', ...more];
  const { code, stdout, stderr } = await runCli(args);
  return { code, stderr, verdict: stdout === '' ? '' : (JSON.parse(stdout) as { verdict: string }).verdict };
}

let expected: AcceptedEvent[];

test('a recording: accepted is what the teacher accepts and the student does not reject', async () => {
  const run = (sink: string, ...more: string[]): Promise<string> =>
    cli('run', '--source', file('in.l1f'), '--sink', file(sink), ...CUT, '--json', '-', ...more);
  await run('plain.l1f', '--model', MODEL);
  const summary = JSON.parse(await run('cascade.l1f', '--model', MODEL, '--cascade')) as {
    events: Record<string, number>;
    paths: { rejected_by_student: number; student: object }[];
  };
  const student = ['--model', join(BUNDLE, 'student'), '--threshold', '0', '--scores', file('student.npy')];
  await cli('run', '--source', file('in.l1f'), '--sink', file('all.l1f'), '--device', 'cpu', ...student);

  const { sha256, cut } = await loadStudent(await loadBundle(BUNDLE));
  const scores = scoresOf(file('student.npy'));
  const reaches = ({ position, index }: AcceptedEvent): boolean =>
    scores[Number(position.offset) * 1000 + index]! >= cut;
  const plain = acceptedBeside(file('plain.l1f'));
  expected = acceptedBeside(file('cascade.l1f'));
  expect(keys(expected)).toEqual(keys(plain.filter(reaches)));
  expect(expected.length).toBeLessThan(plain.length);
  expect(expected.length).toBeGreaterThan(1000);
  for (const { paths } of expected) expect(paths).toEqual([expect.objectContaining({ student: { sha256, cut } })]);
  expect(summary.events).toMatchObject({ received: 351_500, accepted: expected.length, faults: 0 });
  const rejected = scores.filter((score) => score < cut).length;
  expect(summary.paths).toEqual([expect.objectContaining({ student: { sha256, cut }, rejected_by_student: rejected })]);
});

test('its ledger is verified, and not with another student or another model', async () => {
  const [source, sink] = [file('in.l1f'), file('cascade.l1f')];
  expect(await verify(source, sink, '--model', MODEL)).toMatchObject({ code: 0, verdict: 'identical' });
  const copy = file('bundle');
  cpSync(BUNDLE, copy, { recursive: true });
  rmSync(join(copy, 'student'), { recursive: true });
  const without = await verify(source, sink, '--model', copy);
  expect(without).toMatchObject({ code: 2, stderr: expect.stringMatching(/has no student/) as string });
  // The same model with a student that was cut elsewhere.
  cpSync(join(BUNDLE, 'student'), join(copy, 'student'), { recursive: true });
  moveCut(copy, 1);
  const other = await verify(source, sink, '--model', copy);
  expect(other).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/after the student .* cut .* has .* cut/) as string,
  });
});

test('an unfinished output is not gone on with without the student', async () => {
  const args = ['run', '--source', file('in.l1f'), '--sink', file('cascade.l1f'), '--model', MODEL, ...CUT, '--resume'];
  expect((await runCli([...args, '--cascade'])).code).toBe(0);
  expect((await runCli(args)).code).toBe(2);
});

test('evaluate --cascade counts what a run then loses', async () => {
  const bundle = file('strict');
  cpSync(BUNDLE, bundle, { recursive: true });
  moveCut(bundle, 6);
  const recording = file('in.l1f');
  const args = ['--model', bundle, '--model', 'nae-events-m', '--cascade', '--background', recording];
  const { cascades } = JSON.parse(await cli('evaluate', ...args, '--device', 'cpu', '--json', '-')) as {
    cascades: CascadeResult[];
  };
  expect(cascades.map(({ model }) => model)).toEqual([MODEL, 'nae-events-m']);
  const [strict] = cascades as [CascadeResult];
  const { threshold } = strict.background[0]!;
  const cut = ['--model', bundle, '--threshold', String(threshold), '--device', 'cpu', '--json', '-'];
  const accepted = async (...more: string[]): Promise<number> =>
    (
      JSON.parse(
        await cli('run', '--source', recording, '--sink', file(`strict${more.length}.l1f`), ...cut, ...more),
      ) as {
        events: { accepted: number };
      }
    ).events.accepted;
  const sum = (count: (loss: CascadeResult['background'][number]) => number): number =>
    [strict.background, ...strict.signals.map(({ losses }) => losses)].reduce((all, [loss]) => all + count(loss!), 0);
  expect(sum(({ lost }) => lost)).toBeGreaterThan(10);
  expect(await accepted()).toBe(sum((loss) => loss.accepted));
  expect(await accepted('--cascade')).toBe(sum((loss) => loss.accepted - loss.lost));

  rmSync(join(bundle, 'student'), { recursive: true });
  const without = await runCli(['evaluate', ...args, '--device', 'cpu']);
  expect(without).toMatchObject({ code: 2, stderr: expect.stringMatching(/has no student/) as string });
});

test('Kafka: the same events, exactly once, and verified', async () => {
  const kafka = (...more: string[]): string[] => [...more, '--brokers', broker.brokers.join(',')];
  await cli(...kafka('replay', file('in.l1f'), '--to', 'kafka:in'));
  const stream = ['--source', 'kafka:in', '--sink', 'kafka:out'];
  await cli(...kafka('run', ...stream, '--model', MODEL, ...CUT, '--cascade', '--stop-at-end'));
  const found = (await readTopic(broker.brokers, 'out')).flat().map(({ value }) => decodeAcceptedEvent(value!));
  expect(keys(found)).toEqual(keys(expected));
  expect(found[0]!.paths[0]!.student).toEqual(expected[0]!.paths[0]!.student);
  const verified = await verify('kafka:in', 'kafka:out', ...kafka('--model', MODEL));
  expect(verified).toMatchObject({ code: 0, verdict: 'identical' });
});
