/** Streams without Kafka that the report measures: memory in, nothing out. */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

import { encodeFrame, type L1Frame } from '../event/frame.js';
import { unpackWords } from '../event/hardware-words.js';
import { Encoding, HW32_BYTES, OBJECTS_PER_EVENT, VALUES_PER_EVENT } from '../event/layout.js';
import { decodeFrame, isFrameFault } from '../event/frame.js';
import { Pipeline } from '../pipeline/pipeline.js';
import { openRecording } from '../recording/open.js';
import type { ScorePool } from '../score/score-pool.js';
import type { Sink } from '../sink/sink.js';
import type { Intake, Source, SourceRecord } from '../source/source.js';
import { unixMs } from '../telemetry/clock.js';
import { Happenings } from '../telemetry/happenings.js';
import { silentLogger } from '../telemetry/logger.js';
import { Metrics } from '../telemetry/metrics.js';
import { defaultSettings } from './default-settings.js';
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

/**
 * Frames that become available at a fixed pace whatever the stream does (open loop): a frame's latency begins when it
 * was due, also where a full stream made it wait, so that no omission is coordinated with the stream's pauses.
 * Without a pace: as fast as they are taken.
 */
export class PacedSource implements Source {
  readonly name = 'memory';
  readonly #frames: readonly Uint8Array[];
  readonly #count: number;
  readonly #intervalMs: number;

  /** @param intervalMs - between frames; 0: no pace */
  constructor(frames: readonly Uint8Array[], count: number, intervalMs: number) {
    this.#frames = frames;
    this.#count = count;
    this.#intervalMs = intervalMs;
  }

  async run(intake: Intake, stop: AbortSignal): Promise<void> {
    const start = unixMs();
    for (let number = 0; number < this.#count && !stop.aborted; number++) {
      const due = start + number * this.#intervalMs;
      while (this.#intervalMs > 0 && unixMs() < due) {
        intake.idle();
        // Timers are no finer than a millisecond: the rest is waited for turn by turn.
        if (due - unixMs() > 2) await sleep(1);
        else await nextTurn();
      }
      const record: SourceRecord = {
        position: { source: 'memory', partition: 0, offset: BigInt(number) },
        bytes: this.#frames[number % this.#frames.length]!,
        availableUnixMs: this.#intervalMs > 0 ? due : unixMs(),
      };
      const full = intake.offer(record);
      if (full !== undefined) await full;
      else if (this.#intervalMs === 0 && number % 8 === 0) await nextTurn();
    }
  }

  finished(): void {
    // nothing to acknowledge
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

const NOWHERE: Sink = {
  name: 'nowhere',
  write: () => Promise.resolve(),
  close: () => Promise.resolve(),
};

export interface StreamRun extends Timed {
  readonly events: number;
  /** Latency quantiles [s]. */
  readonly latency: { readonly p50: number; readonly p99: number; readonly p999: number; readonly p9999: number };
  /** Seconds of all workers and of the main thread's writes in each stage. */
  readonly stages: Readonly<Record<string, number>>;
}

/** Run a source through a pool to its end and let go of it. */
export async function runThrough(source: Source, pool: ScorePool): Promise<StreamRun> {
  const stream = defaultSettings();
  const metrics = new Metrics();
  const pipeline = new Pipeline(source, pool, NOWHERE, new Happenings(silentLogger(), metrics), {
    limits: { maxFrameBytes: stream.maxFrameBytes },
    maxInFlightBytes: stream.maxInFlightBytes,
    maxBatchDelayMs: stream.maxBatchDelayUs / 1000,
  });
  const time = await timed(() => pipeline.run(new AbortController().signal));
  await source.close();
  const { totals } = pipeline;
  const { values } = await metrics.stageSeconds.get();
  const sums = values.filter(({ metricName }) => metricName?.endsWith('_sum') === true);
  return {
    ...time,
    events: totals.events.received,
    latency: {
      p50: totals.latencySeconds(0.5),
      p99: totals.latencySeconds(0.99),
      p999: totals.latencySeconds(0.999),
      p9999: totals.latencySeconds(0.9999),
    },
    stages: Object.fromEntries(sums.map(({ labels, value }) => [String(labels.stage), value])),
  };
}

export function encoded(workload: Workload, frameEvents: number): Uint8Array[] {
  return [...framesOf(workload, frameEvents, workload.events)].map(encodeFrame);
}
