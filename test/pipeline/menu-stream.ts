/** A stream in memory between the pools of several menus. */
import { DEFAULT_FRAME_LIMITS } from '#nae/event/frame.js';
import { Pipeline } from '#nae/pipeline/pipeline.js';
import type { Path } from '#nae/score/menu.js';
import { ScorePool, type ScorePoolOptions } from '#nae/score/score-pool.js';
import type { SourceRecord } from '#nae/source/source.js';
import { Happenings } from '#nae/telemetry/happenings.js';
import { silentLogger } from '#nae/telemetry/logger.js';
import { Metrics } from '#nae/telemetry/metrics.js';

import { MemorySink, WatchedSource } from './memory-stream.js';

export const openMenu = (
  paths: readonly Path[],
  generation: number,
  options: Partial<ScorePoolOptions> = {},
): Promise<ScorePool> =>
  ScorePool.start({
    workers: 1,
    device: { kind: 'cpu' },
    quantisation: 'hw32',
    batchEvents: 128,
    inferenceRows: 64,
    ...options,
    paths,
    generation,
  });

/** A stream over the records, with the pools of two menus; `act` is called before each is offered and may wait. */
export async function streamed(
  input: readonly SourceRecord[],
  pools: readonly ScorePool[],
  act: (number: number, pipeline: Pipeline) => Promise<void> | undefined,
  sink = new MemorySink(),
): Promise<{ pipeline: Pipeline; sink: MemorySink; source: WatchedSource; metrics: Metrics }> {
  const metrics = new Metrics();
  const source: WatchedSource = new WatchedSource(input, (number) => act(number, pipeline));
  const pipeline: Pipeline = new Pipeline(source, pools[0]!, sink, new Happenings(silentLogger(), metrics), {
    limits: DEFAULT_FRAME_LIMITS,
    maxInFlightBytes: 64 * 1024 * 1024,
    maxBatchDelayMs: 1,
    transactions: { intervalMs: 1, maxFrames: 2, maxBytes: 1e6 },
  });
  try {
    await pipeline.run(new AbortController().signal);
  } finally {
    await Promise.all(pools.map((pool) => pool.close()));
  }
  return { pipeline, sink, source, metrics };
}
