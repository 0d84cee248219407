/**
 * The stream against plain Python (numpy + onnxruntime reading the recording by itself): all scores, and the
 * accepted sets at the calibrated thresholds, for every input format, with and without Kafka.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { startLocalBroker, type LocalBroker } from '#nae/broker/local-broker.js';
import { decodeAcceptedEvent } from '#nae/event/accepted-event.js';
import { loadBundle, type Bundle } from '#nae/model/bundle.js';
import type { StreamSummary } from '#nae/pipeline/stream-totals.js';
import { silentLogger } from '#nae/telemetry/logger.js';

import { cli, ROOT } from '../fixtures/cli.js';
import { readTopic } from '../fixtures/read-topic.js';

const SAMPLE = join(ROOT, 'models', 'recordings', 'sample.l1f.zst');
const MODELS = ['nae-events-s', 'nae-events-m', 'ae-events-m'] as const;
const RATES = [1e-2, 1e-3, 1e-4, 1e-5];
const CROSSINGS = 3564;

const folder = mkdtempSync(join(tmpdir(), 'nae-agreement-'));
const file = (name: string): string => join(folder, name);
const expected = new Map<string, Float32Array>();
const bundles = new Map<string, Bundle>();

/** Float32 values of a NumPy file. */
function readNpy(path: string): Float32Array {
  const bytes = readFileSync(path);
  const start = 10 + bytes.readUInt16LE(8);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset + start, bytes.byteOffset + bytes.length));
}

const bits = (values: Float32Array): Int32Array => new Int32Array(values.buffer, values.byteOffset, values.length);

interface AcceptedLine {
  readonly orbit: number;
  readonly bunch_crossing: number;
  readonly paths: readonly { readonly score: number }[];
}

/** Event number in the sample -> score, of a recording sink's file. */
function acceptedOf(path: string): Map<number, number> {
  const lines = readFileSync(`${path}.accepted.jsonl`, 'utf8').trimEnd().split('\n');
  const events = lines.filter((line) => line !== '').map((line) => JSON.parse(line) as AcceptedLine);
  return new Map(events.map((event) => [event.orbit * CROSSINGS + event.bunch_crossing - 1, event.paths[0]!.score]));
}

/** What Python accepts at a threshold. */
function acceptedByPython(model: string, threshold: number): Map<number, number> {
  const scores = expected.get(model)!;
  return new Map(Array.from(scores.entries()).filter(([, score]) => score >= threshold));
}

const thresholdOf = (model: string, rate: number): number =>
  bundles.get(model)!.calibrations.find(({ target_rate }) => target_rate === rate)!.threshold;

beforeAll(async () => {
  for (const model of MODELS) {
    const output = file(`${model}.npy`);
    const onnx = join(ROOT, 'models', 'bundles', model, 'model.onnx');
    const script = join(ROOT, 'test', 'fixtures', 'score_recording.py');
    execFileSync(join(ROOT, 'models', 'run'), ['python', script, SAMPLE, onnx, output], { stdio: 'inherit' });
    expected.set(model, readNpy(output));
    bundles.set(model, await loadBundle(join(ROOT, 'models', 'bundles', model)));
  }
  await cli('convert', SAMPLE, file('phys32.l1f'), '--encoding', 'PHYS32', '--frame-events', '1000');
  await cli('convert', SAMPLE, file('sample.h5'));
}, 600_000);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('without Kafka', () => {
  it('the sample is large enough', () => {
    expect(expected.get('nae-events-m')!.length).toBeGreaterThan(300_000);
  });

  it.each([
    ['HW32', SAMPLE],
    ['PHYS32', file('phys32.l1f')],
    ['HDF5', file('sample.h5')],
  ])('%s: every score has the bits that Python gives', async (format, source) => {
    for (const model of MODELS) {
      const scores = file(`${format}-${model}.npy`);
      const sink = file(`${format}-${model}.l1f`);
      const args = ['run', '--source', source, '--sink', sink, '--model', model, '--target-rate', '1e-2'];
      await cli(...args, '--scores', scores, '--device', 'cpu', '--log-level', 'error');
      expect(bits(readNpy(scores))).toEqual(bits(expected.get(model)!));
      expect(acceptedOf(sink)).toEqual(acceptedByPython(model, thresholdOf(model, 1e-2)));
    }
  });

  it('accepts the same sets at every calibrated rate, with any workers and frame size', async () => {
    const model = 'nae-events-s';
    for (const [at, rate] of RATES.entries()) {
      const sink = file(`rate-${at}.l1f.zst`);
      const json = file(`rate-${at}.json`);
      const args = ['run', '--source', file('sample.h5'), '--sink', sink, '--model', model, '--device', 'cpu'];
      const shape = ['--workers', String(1 + (at % 3)), '--frame-events', String([4096, 64, 333, 3564][at])];
      await cli(...args, ...shape, '--target-rate', String(rate), '--json', json, '--log-level', 'error');
      const wanted = acceptedByPython(model, thresholdOf(model, rate));
      expect(acceptedOf(sink)).toEqual(wanted);
      const { events } = JSON.parse(readFileSync(json, 'utf8')) as StreamSummary;
      expect(events).toEqual({
        received: expected.get(model)!.length,
        accepted: wanted.size,
        rejected: expected.get(model)!.length - wanted.size,
        faults: 0,
      });
    }
  });
});

describe('through Kafka', () => {
  let broker: LocalBroker;
  let kafka: string[];
  beforeAll(async () => {
    broker = await startLocalBroker({ log: silentLogger() });
    kafka = ['--brokers', broker.brokers.join(',')];
    await cli('replay', SAMPLE, '--to', 'kafka:frames-1', '--partitions', '1', ...kafka);
    await cli('replay', SAMPLE, '--to', 'kafka:frames-4', '--partitions', '4', ...kafka);
    await cli('replay', file('phys32.l1f'), '--to', 'kafka:frames-phys32', '--partitions', '3', ...kafka);
  });
  afterAll(() => broker.stop());

  const acceptedIn = async (topic: string): Promise<Map<number, number>> => {
    const messages = (await readTopic(broker.brokers, topic)).flat();
    const events = messages.map(({ value }) => decodeAcceptedEvent(value!));
    const accepted = new Map(
      events.map((event) => [event.orbit * CROSSINGS + event.bunchCrossing - 1, event.paths[0]!.score]),
    );
    expect(accepted.size).toBe(messages.length);
    return accepted;
  };
  const run = (source: string, sink: string, model: string, rate: number, ...more: string[]): Promise<string> =>
    cli(
      ...['run', '--source', `kafka:${source}`, '--sink', `kafka:${sink}`, '--model', model, '--device', 'cpu'],
      ...['--target-rate', String(rate), '--group', sink, '--stop-at-end', '--log-level', 'error', ...kafka, ...more],
    );

  it('every score of one partition has the bits that Python gives', async () => {
    const scores = file('kafka.npy');
    await run('frames-1', 'accepted-scores', 'nae-events-m', 1e-3, '--scores', scores, '--workers', '2');
    expect(bits(readNpy(scores))).toEqual(bits(expected.get('nae-events-m')!));
  });

  it.each([
    ['frames-4', 'nae-events-m', 1e-2],
    ['frames-4', 'nae-events-s', 1e-5],
    ['frames-phys32', 'nae-events-m', 1e-4],
    ['frames-1', 'nae-events-s', 1e-3],
  ])('%s, %s at %d: the accepted set is Python’s', async (topic, model, rate) => {
    const sink = `accepted-${topic}-${model}`;
    await run(topic, sink, model, rate);
    expect(await acceptedIn(sink)).toEqual(acceptedByPython(model, thresholdOf(model, rate)));
  });
});
