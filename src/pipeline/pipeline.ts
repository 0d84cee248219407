/**
 * The stream between a source and a sink: decode, batch, score, put back into order, write, acknowledge.
 *
 * Everything is bounded: batches by the slots of the pool, frames held for their results by
 * `maxInFlightBytes`. A full stream makes `offer` return a promise, which is the backpressure on the source.
 */
import type { PathDecision } from '../event/accepted-event.js';
import { decodeFrame, isFrameFault, type FrameLimits, type L1Frame } from '../event/frame.js';
import type { ScoreResult } from '../score/messages.js';
import { HISTOGRAM_BINS, slotCapacity } from '../score/messages.js';
import type { ScorePool } from '../score/score-pool.js';
import type { Sink } from '../sink/sink.js';
import type { Intake, Source, SourceRecord } from '../source/source.js';
import { unixMs } from '../telemetry/clock.js';
import type { Happenings } from '../telemetry/happenings.js';
import { Batch } from './batch.js';
import { Deliveries } from './deliveries.js';
import { FrameInFlight } from './frame-in-flight.js';
import { OrderedRelease } from './ordered-release.js';
import { StreamTotals } from './stream-totals.js';

export interface PipelineOptions {
  readonly limits: FrameLimits;
  /** Bytes of frames held until their results are durable. */
  readonly maxInFlightBytes: number;
  /** How long a partly filled batch may wait for more events [ms]. */
  readonly maxBatchDelayMs: number;
  /** Called for every decoded frame in source order, with all its scores; for calibration and evaluation. */
  readonly onScores?: (frame: ScoredFrame) => void;
}

export interface ScoredFrame {
  readonly record: SourceRecord;
  readonly wire: L1Frame;
  /** float32 [paths, events]; NaN for faulty events. */
  readonly scores: Float32Array;
}

/** What made a batch leave for the workers. */
type FlushCause = 'full' | 'encoding' | 'idle' | 'delay' | 'end';

export class Pipeline implements Intake {
  readonly totals: StreamTotals;
  readonly #source: Source;
  readonly #pool: ScorePool;
  readonly #happenings: Happenings;
  readonly #options: PipelineOptions;
  readonly #order = new OrderedRelease<FrameInFlight>();
  readonly #deliveries: Deliveries;
  readonly #freeSlots: number[];
  readonly #waiting: { resolve: () => void; reject: (error: unknown) => void }[] = [];
  #batch: Batch | undefined;
  #delayTimer: NodeJS.Timeout | undefined;
  #sourceIdle = false;
  #running = 0;
  #heldFrames = 0;
  #heldBytes = 0;
  #failure: { error: unknown } | undefined;

  constructor(source: Source, pool: ScorePool, sink: Sink, happenings: Happenings, options: PipelineOptions) {
    this.#source = source;
    this.#pool = pool;
    this.#happenings = happenings;
    this.#options = options;
    this.#freeSlots = pool.slots.map((_, slot) => slot);
    this.totals = new StreamTotals(pool.paths);
    this.#deliveries = new Deliveries(
      sink,
      happenings,
      (frame) => {
        this.#finish(frame);
      },
      (error) => {
        this.#fail(error);
      },
    );
  }

  /**
   * Run the source to its end, or until `stop` is aborted, and drain: when this resolves, everything offered is
   * decided, durable and acknowledged. Rejects with the first failure, after what was running has ended. Source,
   * sink and pool stay open.
   */
  async run(stop: AbortSignal): Promise<void> {
    this.totals.start();
    let sourceFailure: { error: unknown } | undefined;
    try {
      await this.#source.run(this, stop);
    } catch (error) {
      sourceFailure = { error };
    }
    try {
      this.#flush('end');
      while (this.#failure === undefined && this.#heldFrames > 0) await this.#room();
    } finally {
      clearTimeout(this.#delayTimer);
      this.totals.end();
    }
    const failure = this.#failure ?? sourceFailure;
    if (failure !== undefined) throw failure.error;
  }

  offer(record: SourceRecord): Promise<void> | undefined {
    if (this.#failure !== undefined) return Promise.reject(asError(this.#failure.error));
    this.#sourceIdle = false;
    const outcome = decodeFrame(record.bytes, this.#options.limits);
    const frame = new FrameInFlight(record, outcome, availableMs(record, outcome));
    this.#heldFrames++;
    this.#heldBytes += record.bytes?.length ?? 0;
    this.#order.enter(frame);
    this.totals.receive(frame);
    if (isFrameFault(outcome)) {
      this.#happenings.frameFault(outcome.reason, outcome.detail, record.position);
      this.#frameDone(frame);
      return this.#congested ? this.#uncongested() : undefined;
    }
    this.#happenings.frameReceived(outcome.eventCount);
    if (this.#options.onScores !== undefined) {
      frame.scores = new Float32Array(this.#pool.paths.length * outcome.eventCount);
    }
    if (outcome.eventCount === 0) this.#frameDone(frame);
    const next = this.#fill(frame, outcome, 0);
    if (next < outcome.eventCount) return this.#fillWhenFree(frame, outcome, next);
    return this.#congested ? this.#uncongested() : undefined;
  }

  idle(): void {
    this.#sourceIdle = true;
    this.#flushIfWorkerFree();
  }

  /** Copy events into batches from `next` on until all are placed or no slot is free; returns the next event. */
  #fill(frame: FrameInFlight, wire: L1Frame, next: number): number {
    while (next < wire.eventCount) {
      if (this.#batch !== undefined && this.#batch.encoding !== wire.encoding) this.#flush('encoding');
      if (this.#batch === undefined) {
        const slot = this.#freeSlots.pop();
        if (slot === undefined) return next;
        const capacity = slotCapacity(this.#pool.geometry, wire.encoding);
        this.#batch = new Batch(slot, this.#pool.slots[slot]!, wire.encoding, capacity);
        this.#delayTimer = setTimeout(() => {
          this.#flush('delay');
        }, this.#options.maxBatchDelayMs);
      }
      next += this.#batch.append(frame, wire, next);
      if (this.#batch.full) this.#flush('full');
    }
    return next;
  }

  async #fillWhenFree(frame: FrameInFlight, wire: L1Frame, next: number): Promise<void> {
    while (next < wire.eventCount) {
      await this.#room();
      next = this.#fill(frame, wire, next);
    }
    if (this.#congested) await this.#uncongested();
  }

  get #congested(): boolean {
    return this.#heldBytes > this.#options.maxInFlightBytes;
  }

  async #uncongested(): Promise<void> {
    // What is held may sit in a batch that nothing else would send on.
    this.#sourceIdle = true;
    this.#flushIfWorkerFree();
    while (this.#congested) await this.#room();
  }

  /** Resolves when a slot or a held frame was let go of; rejects once the stream has failed. */
  #room(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(asError(this.#failure.error));
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  #wake(): void {
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  #flushIfWorkerFree(): void {
    if (this.#sourceIdle && this.#running < this.#pool.workers) this.#flush('idle');
  }

  #flush(cause: FlushCause): void {
    const batch = this.#batch;
    if (batch === undefined) return;
    this.#batch = undefined;
    clearTimeout(this.#delayTimer);
    this.#running++;
    this.#happenings.batchSent(cause, batch.events);
    const sent = performance.now();
    this.#pool.score({ slot: batch.slot, events: batch.events, encoding: batch.encoding }).then(
      (result) => {
        this.#running--;
        const busyMs = result.unpackMs + result.inferMs + result.decideMs;
        this.#happenings.batchScored(Math.max(0, performance.now() - sent - busyMs), result);
        this.#collect(batch, result);
        this.#freeSlots.push(batch.slot);
        this.#wake();
        this.#flushIfWorkerFree();
      },
      (error: unknown) => {
        this.#running--;
        this.#fail(error);
      },
    );
  }

  /** Take a scored batch apart into the frames it came from. */
  #collect(batch: Batch, result: ScoreResult): void {
    const { paths, geometry } = this.#pool;
    const { views } = batch;
    for (const { frame, index, row } of batch.locate(result.faulty)) {
      frame.fault(index, views.faults[row]!);
    }
    for (const { frame, index, row } of batch.locate(result.accepted)) {
      const decisions: PathDecision[] = [];
      for (const [at, path] of paths.entries()) {
        const score = views.scores[at * geometry.capacity + row]!;
        if (score < path.threshold) continue;
        decisions.push({
          path: path.name,
          model: path.bundle.manifest.name,
          modelSha256: path.bundle.manifest.sha256,
          score,
          threshold: path.threshold,
        });
        this.totals.acceptBy(at);
      }
      frame.accept(index, decisions);
    }
    for (const [at] of paths.entries()) {
      this.totals.addHistogram(at, views.histograms.subarray(at * HISTOGRAM_BINS, (at + 1) * HISTOGRAM_BINS));
    }
    for (const { frame, firstEvent, firstRow, events } of batch.segments) {
      if (frame.scores !== undefined) this.#copyScores(frame, batch, firstEvent, firstRow, events);
      frame.pending -= events;
      if (frame.pending === 0) this.#frameDone(frame);
    }
  }

  #copyScores(frame: FrameInFlight, batch: Batch, firstEvent: number, firstRow: number, events: number): void {
    const { capacity } = this.#pool.geometry;
    const eventCount = frame.wire!.eventCount;
    for (const [at] of this.#pool.paths.entries()) {
      const start = at * capacity + firstRow;
      const target = at * eventCount + firstEvent;
      frame.scores!.set(batch.views.scores.subarray(start, start + events), target);
      for (let event = 0; event < events; event++) {
        if (batch.views.faults[firstRow + event] !== 0) frame.scores![target + event] = NaN;
      }
    }
  }

  #frameDone(frame: FrameInFlight): void {
    frame.settle();
    if (frame.wire !== undefined) {
      const latencyMs = Math.max(0, unixMs() - frame.availableUnixMs);
      this.totals.decide(latencyMs, frame.wire.eventCount);
      this.#happenings.frameDecided(latencyMs);
    }
    for (const released of this.#order.release(frame)) this.#deliveries.add(released);
  }

  /** A frame's results are durable: acknowledge it. */
  #finish(frame: FrameInFlight): void {
    this.#heldFrames--;
    this.#heldBytes -= frame.record.bytes?.length ?? 0;
    const { wire } = frame;
    if (wire !== undefined) {
      if (frame.scores !== undefined) {
        this.#options.onScores?.({ record: frame.record, wire, scores: frame.scores });
      }
      for (const { reason, detail, position } of frame.deadLetters) {
        this.#happenings.eventFault(reason, detail, position);
      }
      for (const { paths } of frame.accepted) for (const { path } of paths) this.#happenings.pathAccepted(path);
      this.#happenings.frameFinished(wire.eventCount, frame.accepted.length, frame.deadLetters.length);
    }
    this.totals.finish(frame);
    this.#source.finished(frame.record);
    this.#wake();
  }
}

function availableMs(record: SourceRecord, outcome: ReturnType<typeof decodeFrame>): number {
  if (record.availableUnixMs !== undefined) return record.availableUnixMs;
  if (isFrameFault(outcome) || outcome.createdUnixNs === 0n) return unixMs();
  return Number(outcome.createdUnixNs / 1000n) / 1000;
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
