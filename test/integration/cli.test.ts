/** The command line as its users meet it: exit codes, results, signals. */
import {
  appendFileSync,
  copyFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { startLocalBroker, type LocalBroker } from '#nae/broker/local-broker.js';
import { decodeAcceptedEvent } from '#nae/event/accepted-event.js';
import type { Evaluation } from '#nae/evaluate/evaluate.js';
import type { Calibration } from '#nae/model/bundle.js';
import type { StreamSummary } from '#nae/pipeline/stream-totals.js';
import { silentLogger } from '#nae/telemetry/logger.js';

import { cli, ROOT, runCli, startCli } from '../fixtures/cli.js';
import { readTopic } from '../fixtures/read-topic.js';
import { frameOf, framesOf, plausibleCodes } from '../pipeline/events.js';
import { writeRecording } from '../recording/recordings.js';

const folder = mkdtempSync(join(tmpdir(), 'nae-cli-'));
const file = (name: string): string => join(folder, name);
const json = (name: string): unknown => JSON.parse(readFileSync(file(name), 'utf8'));
const EVENTS = 20_000;

beforeAll(async () => {
  const codes = plausibleCodes(EVENTS, 9);
  const labels = (events: number, first: number): Uint8Array =>
    Uint8Array.from({ length: events }, (_, event) => ((first + event) % 50 === 0 ? 1 : 0));
  const frames = framesOf(codes, new Array<number>(20).fill(1000));
  await writeRecording(
    file('in.l1f'),
    frames.map((frame, number) => ({ ...frame, labels: labels(1000, 1000 * number) })),
  );
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('results', () => {
  it('calibrate, inspect, evaluate and run agree with one another', async () => {
    const bundle = file('bundle');
    cpSync(join(ROOT, 'models', 'bundles', 'nae-events-s'), bundle, { recursive: true });
    // A calibration of the model that was there before must not be in the way of the new one.
    const stale = JSON.parse(readFileSync(join(bundle, 'calibration.json'), 'utf8')) as Record<string, unknown>;
    writeFileSync(join(bundle, 'calibration.json'), JSON.stringify({ ...stale, model_sha256: '0'.repeat(64) }));
    await cli(
      'calibrate',
      '--model',
      bundle,
      '--background',
      file('in.l1f'),
      '--target-rate',
      '1e-2',
      '--json',
      file('c.json'),
    );
    const { calibrations } = json('c.json') as { calibrations: Calibration[] };
    // Events with label 1 are signal: not part of the background.
    expect(calibrations).toMatchObject([{ target_rate: 1e-2, background_events: 19_600, passing: 196 }]);
    expect(calibrations[0]!.low).toBeLessThan(1e-2);
    expect(calibrations[0]!.high).toBeGreaterThan(1e-2);
    expect(await cli('inspect', bundle)).toContain('196 of 19,600');

    await cli('evaluate', '--model', bundle, '--background', file('in.l1f'), '--json', file('e.json'));
    const evaluation = json('e.json') as Evaluation;
    expect(evaluation).toMatchObject({ model: 'nae-events-s', background_events: 19_600 });
    expect(evaluation.signals).toMatchObject([{ name: 'A4l', events: 400 }]);
    // Every fiftieth event is labelled, whatever it is: no discrimination.
    expect(Math.abs(evaluation.signals[0]!.auc - 0.5)).toBeLessThan(4 * evaluation.signals[0]!.auc_error);

    const args = [
      'run',
      '--source',
      file('in.l1f'),
      '--sink',
      file('out.l1f'),
      '--model',
      bundle,
      '--target-rate',
      '0.01',
    ];
    await cli(...args, '--json', file('r.json'), '--input-rate-hz', '100000');
    const { events, paths } = json('r.json') as StreamSummary;
    expect(events.received).toBe(EVENTS);
    expect(paths[0]!.threshold).toBe(calibrations[0]!.threshold);
    expect(events.accepted).toBeGreaterThanOrEqual(196);
    const out = JSON.parse(await cli('inspect', file('out.l1f'), '--json', '-')) as { events: number };
    expect(out.events).toBe(events.accepted);
  });

  it('calibrate --method gpd says how well the tail is described', async () => {
    const bundle = file('bundle-gpd');
    cpSync(join(ROOT, 'models', 'bundles', 'nae-events-s'), bundle, { recursive: true });
    const args = ['calibrate', '--model', bundle, '--background', file('in.l1f'), '--method', 'gpd'];
    const shown = await cli(...args, '--target-rate', '1e-4', '--json', file('g.json'));
    const [one] = (json('g.json') as { calibrations: Calibration[] }).calibrations;
    const { anderson_darling: statistic, p_value: p } = one!.fit!;
    expect(shown).toContain(`Anderson-Darling ${statistic.toFixed(3)}, p = ${p.toFixed(3)}`);
    expect(one!.low).toBeLessThan(1e-4);
    expect(one!.high).toBeGreaterThan(1e-4);
  });

  it('demo without a broker shows what the recording holds', async () => {
    const args = ['demo', '--broker', 'none', '--recording', file('in.l1f'), '--model', 'ae-events-s'];
    const shown = await cli(...args, '--threshold', '0', '--json', file('d.json'));
    expect((json('d.json') as StreamSummary).events).toEqual({
      received: EVENTS,
      accepted: EVENTS,
      rejected: 0,
      faults: 0,
    });
    expect(shown).toMatch(/background +19,600 +19,600/);
  });

  it('demo without Java says what is missing and runs all the same', async () => {
    const args = ['demo', '--recording', file('in.l1f'), '--model', 'ae-events-s', '--target-rate', '1e-2'];
    const { code, stderr, stdout } = await runCli(args, { PATH: '', JAVA_HOME: '' });
    expect(code).toBe(0);
    expect(stderr).toMatch(/[Jj]ava/);
    expect(stdout).toContain(`received ${EVENTS.toLocaleString('en-US')}`);
  });
});

describe('refusals exit with 2 and name the place', () => {
  const run = ['run', '--sink', file('never.l1f')];
  it.each([
    [['nonsense'], /unknown command/],
    [['run', '--source', 'kafka:x'], /--sink: is required/],
    [[...run, '--source', 'no-such.l1f', '--threshold', '1'], /no-such\.l1f/],
    [
      [...run, '--source', file('in.l1f'), '--target-rate', '3e-4'],
      /--target-rate 3e-4: .* calibrated for 1e-2, 1e-3, 1e-4, 1e-5/,
    ],
    [[...run, '--source', file('in.l1f'), '--model', 'no-such'], /--model no-such: .*nae-events-m/],
    [[...run, '--source', file('in.l1f'), '--target-rate', '1e-3', '--threshold', '1'], /exclude each other/],
    [[...run, '--source', 'kafka:a b', '--threshold', '1'], /expected kafka:TOPIC/],
    [[...run, '--source', 'kafka:frames', '--threshold', '1'], /no brokers/],
    [[...run, '--source', file('in.l1f'), '--workers', '0'], /--workers: .*received "0"/],
    [[...run, '--source', file('in.l1f'), '--device', 'cuda:0'], /--device cuda:0[^]*install:cuda/],
    [[...run, '--source', file('in.l1f'), '--quantise', 'none'], /calibrated with hw32/],
    [['replay', file('in.l1f'), '--to', 'out.l1f'], /expected kafka:TOPIC/],
    [['inspect', file('nothing')], /nothing/],
    [['convert', file('in.l1f'), file('out.csv')], /out\.csv/],
  ])('%j', async (args, message) => {
    const { code, stderr } = await runCli(args);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });

  it('an output that exists', async () => {
    copyFileSync(file('in.l1f'), file('there.l1f'));
    const args = ['run', '--source', file('in.l1f'), '--sink', file('there.l1f'), '--threshold', '1'];
    expect(await runCli(args)).toMatchObject({ code: 2, stderr: expect.stringContaining('there.l1f') as string });
    expect((await runCli([...args, '--overwrite'])).code).toBe(0);
  });
});

describe('failures while running exit with 1', () => {
  it('a truncated recording: what came before it is decided, and the place is named', async () => {
    copyFileSync(file('in.l1f'), file('cut.l1f'));
    truncateSync(file('cut.l1f'), statSync(file('in.l1f')).size - 10);
    const args = ['run', '--source', file('cut.l1f'), '--sink', file('cut-out.l1f'), '--threshold', '0'];
    const { code, stderr } = await runCli(args);
    expect(stderr).toMatch(/cut\.l1f.*frame 19/);
    expect(code).toBe(1);
    const kept = readdirSync(folder).filter((name) => name.startsWith('cut-out'));
    expect(kept.join(' ')).toMatch(/cut-out\.l1f/);
  });

  it('brokers that are not there', async () => {
    const args = ['run', '--source', 'kafka:f', '--sink', 'kafka:a', '--threshold', '1', '--brokers', '127.0.0.1:1'];
    const { code, stderr } = await runCli(args);
    expect(stderr).toContain('127.0.0.1:1');
    expect(code).toBe(1);
  });
});

describe('with a broker', () => {
  let broker: LocalBroker;
  let kafka: string[];
  beforeAll(async () => {
    broker = await startLocalBroker({ log: silentLogger() });
    kafka = ['--brokers', broker.brokers.join(',')];
  });
  afterAll(() => broker.stop());

  it('a signal ends the stream drained and committed; the next run goes on where it ended', async () => {
    const common = ['--sink', 'kafka:accepted', '--model', 'ae-events-s', '--threshold', '0', '--group', 'g', ...kafka];
    await cli('replay', file('in.l1f'), '--to', 'kafka:frames', '--partitions', '2', ...kafka);
    const first = startCli(['run', '--source', 'kafka:frames', ...common, '--json', file('first.json')]);
    await first.said('partitions assigned');
    first.process.kill('SIGINT');
    expect((await first.finished).code).toBe(130);
    await cli('replay', file('in.l1f'), '--to', 'kafka:frames', '--run', '2', ...kafka);
    const second = startCli(['run', '--source', 'kafka:frames', ...common, '--json', file('second.json')]);
    await second.said('partitions assigned');
    while ((await readTopic(broker.brokers, 'accepted')).flat().length < 2 * EVENTS) {
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    second.process.kill('SIGTERM');
    expect((await second.finished).code).toBe(143);
    const events = (await readTopic(broker.brokers, 'accepted')).flat().map(({ value }) => decodeAcceptedEvent(value!));
    const identities = new Set(events.map((event) => `${event.run}/${event.orbit}/${event.bunchCrossing}`));
    // Both ends were clean: at-least-once is exactly once here.
    expect(events).toHaveLength(2 * EVENTS);
    expect(identities.size).toBe(2 * EVENTS);
    const summaries = ['first.json', 'second.json'].map((name) => (json(name) as StreamSummary).events.received);
    expect(summaries[0]! + summaries[1]!).toBe(2 * EVENTS);
  });

  it('demo on an existing cluster reads back what it accepted, twice in a row', async () => {
    for (const repetition of [1, 2]) {
      const name = `demo-${repetition}.json`;
      const shown = await cli(
        ...['demo', '--recording', file('in.l1f'), '--model', 'ae-events-s', '--target-rate', '1e-2'],
        ...['--json', file(name), ...kafka],
      );
      const { events } = json(name) as StreamSummary;
      expect(events.received).toBe(EVENTS);
      expect(events.accepted).toBeGreaterThan(0);
      expect(shown).toContain(`${events.accepted.toLocaleString('en-US')} accepted events, all there`);
    }
  });

  it('dead letters of a broken recording are on their topic, and the stream goes on', async () => {
    const good = frameOf(plausibleCodes(10));
    const bad = frameOf(plausibleCodes(10));
    bad.bunchCrossings.set([0, 0], 6);
    await writeRecording(file('bad.l1f'), [good, bad, good]);
    appendFileSync(file('bad.l1f'), Buffer.from([3, 0xff, 0xff, 0xff]));
    await cli('replay', file('bad.l1f'), '--to', 'kafka:bad', '--partitions', '1', ...kafka);
    const args = ['run', '--source', 'kafka:bad', '--sink', 'kafka:bad-accepted', '--dead-letter', 'bad-dead'];
    await cli(
      ...args,
      '--model',
      'ae-events-s',
      '--threshold',
      '0',
      '--stop-at-end',
      '--json',
      file('b.json'),
      ...kafka,
    );
    expect(json('b.json')).toMatchObject({
      events: { received: 30, accepted: 29, rejected: 0, faults: 1 },
      frames: { received: 4, faults: 1 },
    });
    const letters = (await readTopic(broker.brokers, 'bad-dead')).flat();
    const header = (name: string): (string | undefined)[] => letters.map(({ headers }) => headers?.[name]?.toString());
    expect(header('reason').sort()).toEqual(['crossing-out-of-range', 'not-protobuf']);
    expect(header('source')).toEqual(['bad', 'bad']);
    expect(letters.find(({ headers }) => headers?.reason?.toString() === 'not-protobuf')?.value).toEqual(
      Buffer.from([0xff, 0xff, 0xff]),
    );
  });
});
