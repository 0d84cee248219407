/**
 * The stream between a source and a sink: decode, batch, score, put back into order, write, acknowledge.
 *
 * Everything is bounded: batches by the slots of the pool, frames held for their results by
 * `maxInFlightBytes`. A full stream makes `offer` return a promise, which is the backpressure on the source.
 */
import type { SourcePosition } from '../event/accepted-event.js';
import { decodeFrame, isFrameFault, type FrameLimits, type L1Frame } from '../event/frame.js';
import { frameDigest, inputChecksum, type DecidedFrame } from '../ledger/frame-digest.js';
import type { ScorePool } from '../score/score-pool.js';
import type { Sink } from '../sink/sink.js';
import type { Intake, Source, SourceRecord } from '../source/source.js';
import { unixMs } from '../telemetry/clock.js';
import type { Happenings } from '../telemetry/happenings.js';
import { takeResults } from './batch-results.js';
import { Deliveries, type TransactionLimits } from './deliveries.js';
import { FrameInFlight } from './frame-in-flight.js';
import { Lane } from './lane.js';
import { MenuChange, type MenuChangeOptions } from './menu-change.js';
import { OrderedRelease } from './ordered-release.js';
import { StreamPlaces } from './stream-places.js';
import { StreamTotals } from './stream-totals.js';

export interface PipelineOptions {
  readonly limits: FrameLimits;
  /** Bytes of frames held until their results are durable. */
  readonly maxInFlightBytes: number;
  /** How long a partly filled batch may wait for more events [ms]. */
  readonly maxBatchDelayMs: number;
  /** How much one transaction spans, of sources whose records have claims. */
  readonly transactions?: TransactionLimits;
  /** Whether frames get a digest, for a sink that keeps a ledger. Default: false. */
  readonly ledger?: boolean;
  /** Called for every frame in source order with its digest, once its results are durable. */
  readonly onDigest?: (frame: DecidedFrame, digest: Uint8Array) => void;
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
type FlushCause = 'full' | 'shared' | 'encoding' | 'idle' | 'delay' | 'menu' | 'end';

/** Events that are worth a task of their own: in the time that handing one over takes, a worker scores some hundred. */
const WORTH_SHARING_EVENTS = 256;

export class Pipeline implements Intake {
  readonly totals: StreamTotals;
  readonly #source: Source;
  readonly #sink: Sink;
  readonly #happenings: Happenings;
  readonly #options: PipelineOptions;
  readonly #order = new OrderedRelease<FrameInFlight>();
  readonly #deliveries: Deliveries;
  readonly #waiting: { resolve: () => void; reject: (error: unknown) => void }[] = [];
  readonly #places = new StreamPlaces();
  /** The way of the menu that decides, unless a change says otherwise. */
  #lane: Lane;
  #change: MenuChange | undefined;
  #sourceIdle = false;
  #heldFrames = 0;
  #heldBytes = 0;
  #failure: { error: unknown } | undefined;
  #ended = false;

  constructor(source: Source, pool: ScorePool, sink: Sink, happenings: Happenings, options: PipelineOptions) {
    this.#source = source;
    this.#sink = sink;
    this.#happenings = happenings;
    this.#options = options;
    this.totals = new StreamTotals();
    this.#lane = new Lane(pool, this.totals);
    this.#lane.open();
    happenings.menuStarted(pool.menu);
    this.#deliveries = new Deliveries(
      sink,
      happenings,
      (frame) => {
        this.#finish(frame);
      },
      (frame) => {
        this.#relinquish(frame);
      },
      (error) => {
        this.#fail(error);
      },
      options.transactions,
    );
  }

  /**
   * Run the source to its end, or until `stop` is aborted, and drain: when this resolves, everything offered is
   * decided, durable and acknowledged. Rejects with the first failure, after what was running has ended. Source,
   * sink and pools stay open.
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
      for (const lane of this.#lanes) this.#flush(lane, 'end');
      this.#deliveries.end();
      while (this.#failure === undefined && this.#heldFrames > 0) await this.#room();
    } finally {
      for (const lane of this.#lanes) clearTimeout(lane.delayTimer);
      this.#ended = true;
      this.#change?.streamEnded();
      this.totals.end();
    }
    const failure = this.#failure ?? sourceFailure;
    if (failure !== undefined) throw failure.error;
  }

  /** The change of the menu that is on its way. */
  get change(): MenuChange | undefined {
    return this.#change;
  }

  /**
   * Let the menu of another pool take over as the options say. Every frame is decided once and wholly by one menu. The
   * pool of {@link MenuChange.retired} is the caller's to close, once that has resolved. One change at a time.
   */
  changeMenu(pool: ScorePool, options: MenuChangeOptions): MenuChange {
    if (this.#change !== undefined) throw new Error('expected no other change of the menu to be on its way');
    const lane = new Lane(pool, this.totals);
    const change = new MenuChange(lane, this.#lane, options, this.#places, this.#happenings);
    this.#change = change;
    void change.settled.then(({ outcome }) => {
      if (outcome !== 'taken') return;
      lane.open();
      this.#flush(change.former, 'menu');
    });
    void change.retired.then((retired) => {
      if (retired !== lane) this.#lane = lane;
      this.#change = undefined;
    });
    if (this.#ended) change.streamEnded();
    return change;
  }

  /** Of all menus that may have frames. */
  get #lanes(): readonly Lane[] {
    return this.#change === undefined ? [this.#lane] : [this.#change.former, this.#change.lane];
  }

  offer(record: SourceRecord): Promise<void> | undefined {
    if (this.#failure !== undefined) return Promise.reject(asError(this.#failure.error));
    const wasIdle = this.#sourceIdle;
    this.#sourceIdle = false;
    const outcome = decodeFrame(record.bytes, this.#options.limits);
    const lane = this.#laneOf(record.position, isFrameFault(outcome) ? undefined : outcome);
    const frame = new FrameInFlight(record, outcome, availableMs(record, outcome), lane.menu);
    lane.unfinished++;
    // Now, because the bytes have just been read and lie in the cache.
    if (this.#options.ledger === true) frame.input = inputChecksum(record.bytes);
    this.#heldFrames++;
    this.#heldBytes += frame.heldBytes;
    this.#order.enter(frame);
    this.totals.receive(frame);
    if (isFrameFault(outcome)) {
      this.#happenings.frameFault(outcome.reason, outcome.detail, record.position);
      this.#frameDone(frame);
      return this.#congested ? this.#uncongested() : undefined;
    }
    this.#happenings.frameReceived(outcome.eventCount);
    if (this.#options.onScores !== undefined) {
      frame.scores = new Float32Array(lane.menu.paths.length * outcome.eventCount);
    }
    if (outcome.eventCount === 0) this.#frameDone(frame);
    const next = this.#fill(lane, frame, outcome, wasIdle ? this.#share(lane, frame, outcome) : 0);
    if (next < outcome.eventCount) return this.#fillWhenFree(lane, frame, outcome, next);
    return this.#congested ? this.#uncongested() : undefined;
  }

  #laneOf(position: SourcePosition, wire: L1Frame | undefined): Lane {
    const change = this.#change;
    const lane = change?.laneOf(position, wire) ?? this.#lane;
    this.#places.note(position, wire);
    if (lane.menu.generation !== 1 && !lane.partitions.has(position.partition)) {
      lane.partitions.add(position.partition);
      this.#happenings.menuBegins(lane.menu.generation, position);
    }
    change?.review();
    return lane;
  }

  idle(): void {
    this.#sourceIdle = true;
    this.#flushIfWorkerFree();
  }

  ending(): void {
    this.#deliveries.end();
  }

  /**
   * Let workers that have nothing to do decide a frame together, where nothing else is at hand: its latency is that of
   * its slowest part. Returns the next event, of what is left to the batch that others join.
   */
  #share(lane: Lane, frame: FrameInFlight, wire: L1Frame): number {
    const parts = Math.min(lane.pool.workers - lane.running, Math.floor(wire.eventCount / WORTH_SHARING_EVENTS));
    if (parts < 2 || lane.batch !== undefined) return 0;
    const most = Math.ceil(wire.eventCount / parts);
    let next = 0;
    while (next + most < wire.eventCount) {
      lane.batch = lane.newBatch(wire.encoding);
      if (lane.batch === undefined) break;
      next += lane.batch.append(frame, wire, next, most);
      this.#flush(lane, 'shared');
    }
    return next;
  }

  /** Copy events into batches from `next` on until all are placed or no slot is free; returns the next event. */
  #fill(lane: Lane, frame: FrameInFlight, wire: L1Frame, next: number): number {
    while (next < wire.eventCount) {
      if (lane.batch !== undefined && lane.batch.encoding !== wire.encoding) this.#flush(lane, 'encoding');
      if (lane.batch === undefined) {
        lane.batch = lane.newBatch(wire.encoding);
        if (lane.batch === undefined) return next;
        lane.delayTimer = setTimeout(() => {
          this.#flush(lane, 'delay');
        }, this.#options.maxBatchDelayMs);
      }
      next += lane.batch.append(frame, wire, next, Infinity);
      if (lane.batch.full) this.#flush(lane, 'full');
    }
    return next;
  }

  async #fillWhenFree(lane: Lane, frame: FrameInFlight, wire: L1Frame, next: number): Promise<void> {
    lane.waitingFrames++;
    try {
      while (next < wire.eventCount) {
        await this.#room();
        next = this.#fill(lane, frame, wire, next);
      }
    } finally {
      lane.waitingFrames--;
    }
    // Nothing more comes this way that would send the rest on.
    if (this.#change?.taken === true && lane === this.#change.former) this.#flush(lane, 'menu');
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
    if (!this.#sourceIdle) return;
    for (const lane of this.#lanes) if (lane.running < lane.pool.workers) this.#flush(lane, 'idle');
  }

  #flush(lane: Lane, cause: FlushCause): void {
    const { batch } = lane;
    if (batch === undefined) return;
    lane.batch = undefined;
    clearTimeout(lane.delayTimer);
    lane.running++;
    this.#happenings.batchSent(cause, batch.events);
    const sent = performance.now();
    lane.pool.score(batch.task).then(
      (result) => {
        lane.running--;
        const busyMs = result.unpackMs + result.inferMs + result.decideMs;
        this.#happenings.batchScored(Math.max(0, performance.now() - sent - busyMs), result);
        for (const [at, { name }] of lane.menu.paths.entries()) {
          const rejected = result.rejectedByStudent[at]!;
          if (rejected > 0) this.#happenings.studentRejected(name, rejected);
        }
        // Before its frames let go of their bytes.
        this.#change?.shadow(batch);
        for (const frame of takeResults(lane, batch, result)) this.#frameDone(frame);
        lane.free(batch);
        this.#wake();
        this.#flushIfWorkerFree();
      },
      (error: unknown) => {
        lane.running--;
        this.#fail(error);
      },
    );
  }

  #frameDone(frame: FrameInFlight): void {
    frame.settle();
    if (frame.wire !== undefined) {
      const latencyMs = Math.max(0, unixMs() - frame.availableUnixMs);
      this.totals.decide(latencyMs, frame.wire.eventCount);
      this.#happenings.frameDecided(latencyMs);
    }
    const { decided } = frame;
    if (decided !== undefined) frame.digest = frameDigest(decided);
    if (frame.record.claim !== undefined && frame.scores === undefined) {
      this.#heldBytes -= frame.heldBytes;
      frame.letGo();
      this.#heldBytes += frame.heldBytes;
    }
    for (const released of this.#order.release(frame)) this.#deliveries.add(released);
  }

  /** A frame's results are durable: acknowledge it. */
  #finish(frame: FrameInFlight): void {
    this.#heldFrames--;
    this.#heldBytes -= frame.heldBytes;
    const { wire, eventCount } = frame;
    if (eventCount !== undefined) {
      if (frame.scores !== undefined && wire !== undefined) {
        this.#options.onScores?.({ record: frame.record, wire, scores: frame.scores });
      }
      for (const { reason, detail, position } of frame.deadLetters) {
        this.#happenings.eventFault(reason, detail, position);
      }
      for (const { paths } of frame.accepted) for (const { path } of paths) this.#happenings.pathAccepted(path);
      this.#happenings.frameFinished(eventCount, frame.accepted.length, frame.deadLetters.length);
    }
    if (frame.digest !== undefined) this.#options.onDigest?.(frame.decided!, frame.digest);
    this.totals.finish(frame);
    this.#sink.finished?.(frame.record.position, frame.record.bytes);
    this.#source.finished(frame.record);
    for (const lane of this.#lanes) {
      if (lane.menu === frame.menu) lane.unfinished--;
      lane.settle(frame.record.position);
    }
    this.#change?.review();
    this.#wake();
  }

  /** The frame's claim has ended: it is read and decided again, here or elsewhere. */
  #relinquish(frame: FrameInFlight): void {
    this.#heldFrames--;
    this.#heldBytes -= frame.heldBytes;
    this.totals.relinquish(frame);
    for (const lane of this.#lanes) {
      if (lane.menu !== frame.menu) continue;
      lane.unfinished--;
      lane.giveUp(frame.record.position);
    }
    this.#happenings.frameRelinquished(frame.eventCount ?? 0);
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
