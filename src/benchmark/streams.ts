/** Streams without Kafka that the report measures: memory in, nothing out. */
import { decodeFrame, encodeFrame, isFrameFault, type L1Frame } from '../event/frame.js';
import { unpackWords } from '../event/hardware-words.js';
import { Encoding, HW32_BYTES, OBJECTS_PER_EVENT, VALUES_PER_EVENT } from '../event/layout.js';
import { Pipeline } from '../pipeline/pipeline.js';
import { openRecording } from '../recording/open.js';
import type { ScorePool } from '../score/score-pool.js';
import type { Sink } from '../sink/sink.js';
import type { Source } from '../source/source.js';
import { defaultSettings, type StreamSettings } from './default-settings.js';
import { LatencyProbe, type StageQuantiles } from './latency-probe.js';
import { PacedSource } from './paced-source.js';
import { timed, type Timed } from './timing.js';

/** HW32 events and their planar codes [events, 57]. */
export interface Workload {
  readonly objects: Uint8Array;
  readonly codes: Int16Array;
  readonly events: number;
}

/** The first `events` HW32 events of a recording, which must have as many. */
export async function loadWorkload(path: string, events: number): Promise<Workload> {
  const objects = new Uint8Array(events * HW32_BYTES);
  const reader = await openRecording(path);
  let filled = 0;
  for await (const { bytes } of reader.frames()) {
    const frame = decodeFrame(bytes);
    if (isFrameFault(frame) || frame.encoding !== Encoding.HW32) continue;
    const part = frame.objects.subarray(0, objects.length - filled);
    objects.set(part, filled);
    filled += part.length;
    if (filled === objects.length) break;
  }
  await reader.close();
  const codes = new Int16Array(events * VALUES_PER_EVENT);
  unpackWords(new Int32Array(objects.buffer, 0, events * OBJECTS_PER_EVENT), events, codes, new Uint8Array(events));
  return { objects, codes, events };
}

/** The workload over and over in frames of `frameEvents`, at least `events` events; a new orbit with each. */
export function* framesOf({ objects, events: distinct }: Workload, frameEvents: number, events: number) {
  const crossings = Uint8Array.from({ length: 2 * frameEvents }, (_, at) => {
    const crossing = ((at >> 1) % 3564) + 1;
    return at % 2 === 0 ? crossing & 0xff : crossing >> 8;
  });
  const size = frameEvents * HW32_BYTES;
  const count = distinct / frameEvents;
  for (let orbit = 0; orbit * frameEvents < events; orbit++) {
    const at = (orbit % count) * size;
    yield {
      encoding: Encoding.HW32,
      run: 1,
      luminositySection: 0,
      orbit,
      eventCount: frameEvents,
      bunchCrossings: crossings,
      orbitDeltas: new Uint8Array(0),
      objects: objects.subarray(at, at + size),
      labels: new Uint8Array(0),
      createdUnixNs: 0n,
    } satisfies L1Frame;
  }
}

const NOWHERE: Sink = {
  name: 'nowhere',
  write: () => Promise.resolve(),
  close: () => Promise.resolve(),
};

export interface StreamRun extends Timed {
  readonly events: number;
  readonly latency: StageQuantiles;
  /** Seconds of all workers and of the main thread's writes in each stage. */
  readonly stages: Readonly<Record<string, number>>;
}

/**
 * Run a source through a pool to its end and let go of it.
 *
 * @param changes - what differs from the defaults of `nae-trigger run`
 */
export async function runThrough(
  source: Source,
  pool: ScorePool,
  changes: Partial<StreamSettings> = {},
): Promise<StreamRun> {
  const settings = { ...defaultSettings(), ...changes };
  const probe = new LatencyProbe(true);
  if (source instanceof PacedSource) {
    source.onOffer = (lateMs) => {
      probe.record('arrival', lateMs);
    };
  }
  const pipeline = new Pipeline(source, pool, NOWHERE, probe, {
    limits: { maxFrameBytes: settings.maxFrameBytes },
    maxInFlightBytes: settings.maxInFlightBytes,
    maxBatchDelayMs: settings.maxBatchDelayUs / 1000,
  });
  const time = await timed(() => pipeline.run(new AbortController().signal));
  await source.close();
  const { values } = await probe.metrics.stageSeconds.get();
  const sums = values.filter(({ metricName }) => metricName?.endsWith('_sum') === true);
  return {
    ...time,
    events: pipeline.totals.events.received,
    latency: probe.quantiles,
    stages: Object.fromEntries(sums.map(({ labels, value }) => [String(labels.stage), value])),
  };
}

export function encoded(workload: Workload, frameEvents: number): Uint8Array[] {
  return [...framesOf(workload, frameEvents, workload.events)].map(encodeFrame);
}
