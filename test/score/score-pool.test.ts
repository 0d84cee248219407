import { describe, expect, it } from 'vitest';

import { ScorePool, type ScorePoolOptions } from '#nae/score/score-pool.js';

import { path } from '../pipeline/memory-stream.js';

const OPTIONS: Omit<ScorePoolOptions, 'paths'> = {
  workers: 2,
  device: { kind: 'cpu' },
  quantisation: 'hw32',
  batchEvents: 100,
  inferenceRows: 64,
};

describe('the score pool', () => {
  it('has slots of whole inference batches, more than workers', async () => {
    const pool = await ScorePool.start({ ...OPTIONS, paths: [await path('ae-events-s', 1)] });
    expect(pool.geometry).toEqual({ capacity: 128, paths: 1 });
    expect(pool.slots.length).toBeGreaterThan(pool.workers);
    await pool.close();
  });

  it('can be closed at once, and closed while it works', async () => {
    const one = await path('nae-events-m', 1);
    for (let repetition = 0; repetition < 5; repetition++) {
      const pool = await ScorePool.start({ ...OPTIONS, batchEvents: 4096, paths: [one] });
      const running = pool.score({
        ...{ slot: 0, events: 4096, encoding: 1 },
        pieces: [{ memory: undefined, at: 0, events: 4096 }],
      });
      await pool.close();
      expect((await running).accepted).toEqual([]);
    }
  });

  it('says why a worker could not load a model', async () => {
    const good = await path('ae-events-s', 1);
    const bad = { ...good, bundle: { ...good.bundle, model: good.bundle.model.slice(0, 200) } };
    await expect(ScorePool.start({ ...OPTIONS, paths: [bad] })).rejects.toMatchObject({
      code: 'SCORING_FAILED',
      message: expect.stringContaining('does not load on cpu') as string,
    });
  });

  it('refuses models on the hardware grid where nothing is quantised', async () => {
    const paths = [await path('ae-events-s', 1)];
    await expect(ScorePool.start({ ...OPTIONS, quantisation: 'none', paths })).rejects.toThrow('takes hardware codes');
    await expect(ScorePool.start({ ...OPTIONS, paths: [] })).rejects.toThrow('at least one model');
  });
});
