/**
 * Workers that throw, die, run out of memory or cannot load: real threads that fail by themselves, while a stream of
 * real models goes through them. Nothing may be lost, repeated or changed.
 */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { AcceptedEvent } from '#nae/event/accepted-event.js';
import { ScorePool } from '#nae/score/score-pool.js';
import { Happenings } from '#nae/telemetry/happenings.js';
import { silentLogger } from '#nae/telemetry/logger.js';
import { Metrics } from '#nae/telemetry/metrics.js';

import { framesOf, plausibleCodes } from '../pipeline/events.js';
import { path, records, runRecords } from '../pipeline/memory-stream.js';

const FRAMES = 120;
const input = records(
  framesOf(
    plausibleCodes(FRAMES * 50, 9),
    Array.from({ length: FRAMES }, () => 50),
  ),
);
const workerEntry = new URL('../fixtures/faulty-worker.mjs', import.meta.url);
const identity = ({ position, index, paths }: AcceptedEvent): string =>
  `${position.offset}/${index} ${paths[0]!.score}`;

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nae-faulty-'));
  process.env.FAULTY_WORKER_TOKENS = folder;
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const plan = (...tokens: string[]): Promise<unknown> =>
  Promise.all(tokens.map((token, at) => writeFile(join(folder, `${token}.${at}`), '')));

async function counted(metrics: Metrics, name: string): Promise<number> {
  const metric = await metrics.registry.getSingleMetric(name)!.get();
  return metric.values.reduce((sum, { value }) => sum + value, 0);
}

describe('a stream through workers that fail', async () => {
  const model = await path('ae-events-s', 0.05);
  const expected = (await runRecords(input, [model])).sink.accepted.map(identity);

  it.each([
    [['throws', 'throws'], 2],
    [['exits', 'exits'], 2],
    [['uncaught', 'uncaught'], 2],
    [['heap'], 1],
    [['load-throws'], 1],
    [['exits', 'load-exits'], 2],
  ])('%j: decides everything once, the same', async (tokens, failures) => {
    const metrics = new Metrics();
    await plan(...tokens);
    const run = await runRecords(input, [model], {
      workers: 2,
      workerEntry,
      happenings: new Happenings(silentLogger(), metrics),
      resourceLimits: { maxOldGenerationSizeMb: 64 },
      maxInFlightBytes: 20_000,
    });
    expect(expected.length).toBeGreaterThan(100);
    expect(run.sink.accepted.map(identity)).toEqual(expected);
    expect(run.source.acknowledged.map(({ position }) => Number(position.offset))).toEqual([...input.keys()]);
    expect(await readdir(folder)).toEqual([]);
    // Two batches that fail on one worker are one failure of it.
    const counts = await counted(metrics, 'trigger_worker_failures_total');
    expect(counts).toBeGreaterThan(0);
    expect(counts).toBeLessThanOrEqual(failures);
  });

  it('gives up on a batch that fails every worker, with the reason', async () => {
    await plan(...Array.from({ length: 50 }, () => 'throws'));
    await expect(runRecords(input, [model], { workers: 2, workerEntry })).rejects.toMatchObject({
      code: 'SCORING_FAILED',
      exitCode: 1,
      message: expect.stringMatching(/a batch failed on 3 scoring workers, .*thrown on purpose/) as string,
    });
  });

  it('gives up when workers fail too often', async () => {
    await plan(...Array.from({ length: 50 }, () => 'exits'));
    await expect(runRecords(input, [model], { workers: 2, workerEntry, maxReplacements: 1 })).rejects.toMatchObject({
      code: 'SCORING_FAILED',
      message: expect.stringMatching(/failed 2 times in 10 minutes \(allowed: 1\).*code 7/) as string,
    });
  });

  it('does not start where no worker loads', async () => {
    await plan('load-throws', 'load-exits');
    const starting = ScorePool.start({
      paths: [model],
      workers: 2,
      device: { kind: 'cpu' },
      quantisation: 'hw32',
      batchEvents: 64,
      inferenceRows: 64,
      workerEntry,
    });
    await expect(starting).rejects.toMatchObject({ code: 'SCORING_FAILED' });
  });
});
