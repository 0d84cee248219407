/**
 * Scores of whole recordings, for calibration and evaluation.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';

import type { Settings } from '../config/options.js';
import { TriggerError } from '../errors.js';
import { Pipeline, type ScoredFrame } from '../pipeline/pipeline.js';
import { openRecording } from '../recording/open.js';
import type { ScorePool } from '../score/score-pool.js';
import type { Sink } from '../sink/sink.js';
import { RecordingSource } from '../source/recording-source.js';
import { Happenings } from '../telemetry/happenings.js';
import { Metrics } from '../telemetry/metrics.js';
import { progressOf } from './progress.js';
import type { Context } from './verb.js';

/** Nothing is accepted, and faulty events are reported by their number. */
const NOWHERE: Sink = {
  name: 'nowhere',
  write: () => Promise.resolve(),
  close: () => Promise.resolve(),
};

export interface ScoredRecording {
  readonly name: string;
  /** float32 score of every sound event, in file order. */
  readonly scores: Float32Array;
  /** Truth label of the same events, where the recording has labels. */
  readonly labels: Uint8Array | undefined;
  readonly labelNames: ReadonlyMap<number, string>;
  /** Generated parton event of the same events, where the recording knows it. */
  readonly sourceGroups: Float64Array | undefined;
  /** Events left out because they could not be decided. */
  readonly faults: number;
}

/** Score every event of a recording with the pool's first path. */
export async function scoreRecording(
  path: string,
  pool: ScorePool,
  settings: Settings<'maxBatchDelayUs' | 'maxFrameBytes' | 'maxInFlightBytes'>,
  context: Context,
): Promise<ScoredRecording> {
  const reader = await openRecording(path);
  const scores = new Collected<Float32Array>(Float32Array);
  const labels = new Collected<Uint8Array>(Uint8Array);
  const groups = new Collected<Float64Array>(Float64Array);
  const collect = ({ record, wire, scores: all }: ScoredFrame): void => {
    const faulty = all.some(Number.isNaN);
    const pick = <T extends Float32Array | Uint8Array | Float64Array>(values: T): T =>
      faulty ? (values.filter((_, event) => !Number.isNaN(all[event])) as T) : values;
    scores.add(pick(all));
    if (wire.labels.length > 0) labels.add(pick(wire.labels));
    if (record.sourceGroups !== undefined) groups.add(pick(record.sourceGroups));
  };
  const source = new RecordingSource(reader);
  const happenings = new Happenings(context.log, new Metrics());
  const pipeline = new Pipeline(source, pool, NOWHERE, happenings, {
    limits: { maxFrameBytes: settings.maxFrameBytes },
    maxInFlightBytes: settings.maxInFlightBytes,
    maxBatchDelayMs: settings.maxBatchDelayUs / 1000,
    onScores: collect,
  });
  const progress = progressOf(basename(path), () => ({ done: reader.readBytes, total: reader.sizeBytes }));
  try {
    await pipeline.run(context.stop);
  } finally {
    progress.stop();
    await source.close();
  }
  if (context.stop.aborted) throw new TriggerError('INPUT_REFUSED', `${path}: interrupted before its end`);
  const { frames, events } = pipeline.totals;
  if (frames.faults > 0) {
    throw new TriggerError('INPUT_REFUSED', `${path}: ${frames.faults} of ${frames.received} frames cannot be decoded`);
  }
  const sound = scores.length;
  return {
    name: basename(path),
    scores: scores.joined(),
    labels: labels.length === sound && sound > 0 ? labels.joined() : undefined,
    labelNames: reader.header.labelNames,
    sourceGroups: groups.length === sound && sound > 0 ? groups.joined() : undefined,
    faults: events.faults,
  };
}

/** The background of a scored recording: all of it, or the events of label 0 where it has labels. */
export function backgroundOf({ scores, labels, sourceGroups }: ScoredRecording): {
  readonly scores: Float32Array;
  /** Events per generated parton event, where the recording knows them. */
  readonly eventsPerGroup: Iterable<number> | undefined;
} {
  const isBackground = (_: number, event: number): boolean => labels === undefined || labels[event] === 0;
  const groups = sourceGroups?.filter(isBackground);
  return {
    scores: scores.filter(isBackground),
    eventsPerGroup: groups === undefined ? undefined : eventsPerGroup(groups),
  };
}

function eventsPerGroup(sourceGroups: Float64Array): Iterable<number> {
  const counts = new Map<number, number>();
  for (const group of sourceGroups) counts.set(group, (counts.get(group) ?? 0) + 1);
  return counts.values();
}

export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

type Values = Float32Array | Float64Array | Uint8Array;

/** Arrays joined once at the end. */
class Collected<T extends Values> {
  readonly #create: new (length: number) => T;
  readonly #parts: T[] = [];
  #length = 0;

  constructor(create: new (length: number) => T) {
    this.#create = create;
  }

  get length(): number {
    return this.#length;
  }

  add(values: T): void {
    this.#parts.push(values.slice() as T);
    this.#length += values.length;
  }

  joined(): T {
    const all = new this.#create(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}
