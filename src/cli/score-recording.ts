/**
 * Scores of whole recordings, for calibration and evaluation.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';

import type { Settings } from '../config/options.js';
import { TriggerError } from '../errors.js';
import { kinematicsOf } from '../evaluate/kinematics.js';
import { Pipeline, type ScoredFrame } from '../pipeline/pipeline.js';
import { codesOf } from '../recording/encode-events.js';
import { openRecording } from '../recording/open.js';
import type { ScoredSample } from '../sample/scored-sample.js';
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

/** What to do with the events of a recording. */
export interface ScoringTarget {
  readonly sample: ScoredSample;
  /** Class of all events; undefined: by their labels, 0 and no label being background. */
  readonly className: string | undefined;
  /** Events of labels other than 0 are left out. */
  readonly backgroundOnly?: boolean;
  /** Threshold of the pool's last path, a trigger whose events are marked; its scores are not kept. */
  readonly elsewhere?: number;
}

/**
 * Score every event of a recording into a sample, which takes the scores of the pool's first paths.
 *
 * @returns how many events were left out because they could not be decided
 */
export async function scoreRecording(
  path: string,
  pool: ScorePool,
  target: ScoringTarget,
  settings: Settings<'maxBatchDelayUs' | 'maxFrameBytes' | 'maxInFlightBytes'>,
  context: Context,
): Promise<number> {
  const reader = await openRecording(path);
  const collector = new Collector(target, reader.header.labelNames);
  const source = new RecordingSource(reader);
  const happenings = new Happenings(context.log, new Metrics());
  const pipeline = new Pipeline(source, pool, NOWHERE, happenings, {
    limits: { maxFrameBytes: settings.maxFrameBytes },
    maxInFlightBytes: settings.maxInFlightBytes,
    maxBatchDelayMs: settings.maxBatchDelayUs / 1000,
    onScores: (frame) => {
      collector.add(frame);
    },
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
  return events.faults;
}

class Collector {
  readonly #target: ScoringTarget;
  readonly #labelNames: ReadonlyMap<number, string>;
  /** Of the recording so far, faulty ones included: the group of an event whose parton event is not known. */
  #events = 0;

  constructor(target: ScoringTarget, labelNames: ReadonlyMap<number, string>) {
    this.#target = target;
    this.#labelNames = labelNames;
  }

  add({ record, wire, scores }: ScoredFrame): void {
    const { sample, elsewhere, backgroundOnly } = this.#target;
    const events = wire.eventCount;
    const { codes } = codesOf(wire);
    const { sourceGroups } = record;
    for (let event = 0; event < events; event++) {
      const number = this.#events + event;
      if (Number.isNaN(scores[event])) continue;
      const classNumber = this.#classOf(wire.labels[event] ?? 0);
      if (backgroundOnly === true && classNumber !== 0) continue;
      if (sourceGroups !== undefined) sample.classes[classNumber]!.grouped = true;
      const taken = elsewhere !== undefined && scores[sample.models * events + event]! >= elsewhere;
      const group = sourceGroups?.[event] ?? number;
      sample.add(classNumber, group, kinematicsOf(codes, event), taken, scores, events, event);
    }
    this.#events += events;
  }

  #classOf(label: number): number {
    const { sample, className } = this.#target;
    if (className !== undefined) return sample.classOf(className);
    return label === 0 ? 0 : sample.classOf(this.#labelNames.get(label) ?? `label ${label}`);
  }
}

export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
