/**
 * Another menu on its way into a stream. It scores beside the running one first (the shadow), and takes over at a place
 * of every partition: frames before it are the former menu's, also when they are read again; from there on they are the
 * new one's. The former menu is let go of when none of its frames can come again.
 */
import {
  ShadowComparison,
  type ComparedPath,
  type ShadowBand,
  type ShadowReport,
} from '../decide/shadow-comparison.js';
import { messageOf } from '../errors.js';
import type { SourcePosition } from '../event/accepted-event.js';
import type { L1Frame } from '../event/frame.js';
import { isAfter, swapPointText, type FramePlace, type Section, type SwapPoint } from '../event/swap-point.js';
import type { Happenings } from '../telemetry/happenings.js';
import type { Batch } from './batch.js';
import type { Lane } from './lane.js';
import { placeOf, type StreamPlaces } from './stream-places.js';
import { pathIdentities, type PathIdentity } from './stream-totals.js';

export interface MenuChangeOptions {
  readonly at: SwapPoint;
  /** Events to score with both menus before the swap; 0: none. */
  readonly shadowEvents: number;
  readonly band: ShadowBand;
  /** Of the new menu's rate to the running one's. */
  readonly expectedRatio: number;
}

export interface MenuChangeReport {
  /** `pending`: not settled yet. */
  readonly outcome: 'pending' | 'taken' | 'refused' | 'cancelled';
  readonly state: MenuChangeState;
  /** Why it was refused or cancelled. */
  readonly reason?: string;
  readonly generation: number;
  readonly from: readonly PathIdentity[];
  readonly to: readonly PathIdentity[];
  readonly swap_at: string;
  readonly shadow: ShadowReport | null;
  /** The first place of each partition that the new menu decides; orbit and section where its frame has come. */
  readonly began: readonly {
    readonly source: string;
    readonly partition: number;
    readonly offset: string;
    readonly run?: number;
    readonly luminosity_section?: number;
    readonly orbit?: number;
  }[];
  /** Partitions that have not come to the place. */
  readonly awaited: readonly number[];
}

/** `retiring`: the new menu decides all that comes, frames of the former are not durable yet. */
export type MenuChangeState = 'shadow' | 'awaiting' | 'retiring' | 'done';

/**
 * A partition of which nothing has come for so long [ms] is not waited for: it went to another process, or its frames
 * that were given up did. A claim that is not regained in this time ends the process (kafka/partition-claims.ts).
 */
const PATIENCE_MS = 60_000;
const REVIEW_MS = 1_000;

interface Begin {
  readonly source: string;
  readonly offset: bigint;
  place: FramePlace | undefined;
}

export class MenuChange {
  readonly lane: Lane;
  readonly former: Lane;
  /** Resolves once it is known what becomes of the change. */
  readonly settled: Promise<MenuChangeReport>;
  /** Resolves with the lane that has nothing left to do: the former, or where the change failed the new one. */
  readonly retired: Promise<Lane>;
  readonly #options: MenuChangeOptions;
  readonly #places: StreamPlaces;
  readonly #happenings: Happenings;
  readonly #comparison: ShadowComparison;
  readonly #began = new Map<number, Begin>();
  #state: MenuChangeState = 'shadow';
  #outcome: MenuChangeReport['outcome'] = 'pending';
  #reason: string | undefined;
  #shadowing = 0;
  /** Last section of the stream when the shadow was over. */
  #border: Section | undefined;
  #awaitingSinceMs = 0;
  readonly #timer: NodeJS.Timeout;
  #settle!: (report: MenuChangeReport) => void;
  #retire!: (lane: Lane) => void;

  constructor(lane: Lane, former: Lane, options: MenuChangeOptions, places: StreamPlaces, happenings: Happenings) {
    this.lane = lane;
    this.former = former;
    this.#options = options;
    this.#places = places;
    this.#happenings = happenings;
    this.#comparison = new ShadowComparison(
      comparedPaths(former),
      comparedPaths(lane),
      options.shadowEvents,
      options.band,
      options.expectedRatio,
    );
    this.settled = new Promise((resolve) => (this.#settle = resolve));
    this.retired = new Promise((resolve) => (this.#retire = resolve));
    this.#timer = setInterval(() => {
      this.review();
    }, REVIEW_MS);
    this.#timer.unref();
    const passed = this.#passed();
    if (passed !== undefined) this.#end('refused', passed);
    else if (this.#comparison.complete) this.#await();
    else happenings.menuShadowing(lane.menu, options.shadowEvents);
  }

  /** Whether the new menu decides all partitions. */
  get taken(): boolean {
    return this.#outcome === 'taken';
  }

  /** The lane that decides a frame. Called for every frame, before {@link StreamPlaces.note} of it. */
  laneOf(position: SourcePosition, frame: L1Frame | undefined): Lane {
    if (this.#state === 'shadow' || this.#outcome === 'refused' || this.#outcome === 'cancelled') return this.former;
    const { partition, offset, source } = position;
    let begin = this.#began.get(partition);
    if (begin === undefined) {
      if (this.#state === 'awaiting' && !this.#reached(position, frame)) return this.former;
      begin = { source, offset: this.#namedOffset(partition) ?? offset, place: undefined };
      this.#began.set(partition, begin);
    }
    if (offset < begin.offset) return this.former;
    if (frame !== undefined) begin.place ??= placeOf(frame);
    return this.lane;
  }

  /** Score a batch of the running menu, which has just been scored, with the new one too, where it has a slot free. */
  shadow(batch: Batch): void {
    if (this.#state !== 'shadow' || batch.menu !== this.former.menu) return;
    const { events, encoding, views } = batch;
    const target = this.lane.newBatch(encoding);
    if (target === undefined) return;
    const stride = events;
    const scores = new Float32Array(this.former.menu.paths.length * stride);
    const { capacity } = this.former.pool.geometry;
    for (const [at] of this.former.menu.paths.entries()) {
      scores.set(views.scores.subarray(at * capacity, at * capacity + events), at * stride);
    }
    const faults = views.faults.slice(0, events);
    batch.copyObjects(target.views.objects);
    target.views.crossings.set(views.crossings.subarray(0, events));
    this.#shadowing++;
    this.lane.pool
      .score({ slot: target.slot, events, encoding, pieces: [{ memory: undefined, at: 0, events }] })
      .then(() => {
        if (this.#state !== 'shadow') return;
        const candidate = {
          scores: target.views.scores,
          stride: this.lane.pool.geometry.capacity,
          faults: target.views.faults,
        };
        const before = this.#comparison.events;
        this.#comparison.add(events, { scores, stride, faults }, candidate);
        this.#happenings.menuShadowed(this.#comparison.events - before);
        if (!this.#comparison.complete) return;
        const objection = this.#comparison.objection() ?? this.#passed();
        if (objection === undefined) this.#await();
        else this.#end('refused', objection);
      })
      .catch((error: unknown) => {
        this.#end('refused', messageOf(error));
      })
      .finally(() => {
        this.#shadowing--;
        this.lane.free(target);
        this.review();
      });
  }

  /** Give the change up, unless a partition has been taken over; returns whether it was given up. */
  cancel(): boolean {
    if (this.#outcome !== 'pending' || this.#began.size > 0) return false;
    this.#end('cancelled', 'cancelled on request');
    return true;
  }

  /** The stream has ended. */
  streamEnded(): void {
    if (this.#outcome === 'pending' && this.#began.size > 0) this.#take();
    this.#end('refused', 'the stream ended before the menu was taken');
    clearInterval(this.#timer);
    this.#retire(this.#outcome === 'taken' ? this.former : this.lane);
  }

  /** See whether the next state is reached: after every frame, and once a second. */
  review(): void {
    if (this.#state === 'awaiting' && this.#awaited().length === 0) this.#take();
    if (this.#outcome === 'refused' || this.#outcome === 'cancelled') {
      if (this.#shadowing === 0) this.#done(this.lane);
    } else if (this.#state === 'retiring' && this.former.retirable(PATIENCE_MS)) this.#done(this.former);
  }

  report(): MenuChangeReport {
    return {
      outcome: this.#outcome,
      state: this.#state,
      ...(this.#reason === undefined ? {} : { reason: this.#reason }),
      generation: this.lane.menu.generation,
      from: pathIdentities(this.former.menu),
      to: pathIdentities(this.lane.menu),
      swap_at: swapPointText(this.#options.at),
      shadow: this.#options.shadowEvents === 0 ? null : this.#comparison.report(),
      began: Array.from(this.#began, ([partition, { source, offset, place }]) => ({
        source,
        partition,
        offset: String(offset),
        ...(place === undefined
          ? {}
          : { run: place.run, luminosity_section: place.luminositySection, orbit: place.orbit }),
      })),
      awaited: this.#state === 'awaiting' ? this.#awaited() : [],
    };
  }

  /** The shadow is over: from now on partitions are taken over where they come to the place. */
  #await(): void {
    this.#state = 'awaiting';
    this.#awaitingSinceMs = performance.now();
    this.#border = this.#places.lastSection;
    if (this.#options.at.kind === 'next-frame') {
      for (const [partition, { source, offset }] of this.#places.entries()) {
        this.#began.set(partition, { source, offset: offset + 1n, place: undefined });
      }
      this.#take();
      return;
    }
    this.#happenings.menuAwaiting(this.lane.menu, swapPointText(this.#options.at));
    this.review();
  }

  /** All partitions are the new menu's. */
  #take(): void {
    this.#state = 'retiring';
    this.#outcome = 'taken';
    this.#happenings.menuTaken(this.former.menu, this.lane.menu);
    this.#settle(this.report());
  }

  #end(outcome: 'refused' | 'cancelled', reason: string): void {
    if (this.#outcome !== 'pending') return;
    this.#outcome = outcome;
    this.#reason = reason;
    this.#state = 'retiring';
    if (outcome === 'refused') this.#happenings.menuRefused(reason);
    else this.#happenings.menuCancelled(this.lane.menu);
    this.#settle(this.report());
    this.review();
  }

  #done(lane: Lane): void {
    if (this.#state === 'done') return;
    this.#state = 'done';
    clearInterval(this.#timer);
    this.#retire(lane);
  }

  #namedOffset(partition: number): bigint | undefined {
    const { at } = this.#options;
    return at.kind === 'offsets' ? at.offsets.get(partition) : undefined;
  }

  #reached({ partition, offset }: SourcePosition, frame: L1Frame | undefined): boolean {
    const { at } = this.#options;
    switch (at.kind) {
      case 'next-frame':
        return true;
      case 'offsets':
        return offset >= (at.offsets.get(partition) ?? offset + 1n);
      case 'next-section':
        return frame !== undefined && (this.#border === undefined || isAfter(frame, this.#border));
      default:
        return frame !== undefined && isBehind(frame, at);
    }
  }

  /** Partitions that are to come to the place: those that frames come of, and those that were named. */
  #awaited(): number[] {
    const now = performance.now();
    const awaited = new Set<number>();
    for (const [partition, { lastMs }] of this.#places.entries())
      if (now - lastMs < PATIENCE_MS) awaited.add(partition);
    const { at } = this.#options;
    if (at.kind === 'offsets' && now - this.#awaitingSinceMs < PATIENCE_MS) {
      for (const partition of at.offsets.keys()) awaited.add(partition);
    }
    for (const partition of this.#began.keys()) awaited.delete(partition);
    return [...awaited].sort((a, b) => a - b);
  }

  /** Why the place cannot be kept: a partition is beyond it, or was not named. */
  #passed(): string | undefined {
    const { at } = this.#options;
    for (const [partition, { offset, place }] of this.#places.entries()) {
      if (at.kind === 'offsets') {
        const named = at.offsets.get(partition);
        if (named === undefined)
          return `expected an offset for every partition (--swap-at), received none for ${partition}`;
        if (offset >= named) {
          return `expected an offset that is still to come (--swap-at), received ${named} for partition ${partition}, which is at ${offset}`;
        }
      } else if ((at.kind === 'section' || at.kind === 'orbit') && place !== undefined && isBehind(place, at)) {
        return (
          `expected a place that is still to come (--swap-at), received ${swapPointText(at)}; partition ${partition} is in ` +
          `run ${place.run}, section ${place.luminositySection}, orbit ${place.orbit}`
        );
      }
    }
    return undefined;
  }
}

/** Whether a frame lies at or behind a stated place. */
function isBehind(frame: FramePlace, at: Extract<SwapPoint, { kind: 'section' | 'orbit' }>): boolean {
  if (at.kind === 'section') return !isAfter(at.section, frame);
  return frame.run > at.run || (frame.run === at.run && frame.orbit >= at.orbit);
}

function comparedPaths({ menu }: Lane): ComparedPath[] {
  return menu.paths.map(({ name, bundle, threshold }) => ({ name, modelSha256: bundle.manifest.sha256, threshold }));
}
