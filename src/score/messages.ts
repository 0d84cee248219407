/**
 * What the stream and its scoring workers share: the memory layout of a slot, the task and its result.
 *
 * A slot is one SharedArrayBuffer that holds a batch of events on its way through a worker. The stream fills
 * objects and crossings, hands the slot over with a task, and reads scores, faults and histograms when the
 * task's promise resolves: at any time exactly one side owns a slot, so no atomics are needed. Objects that were read
 * into shared memory stay where they are, and the task says where: until its promise resolves nobody writes there.
 */
import { bytesPerEvent, HW32_BYTES, type Encoding } from '../event/layout.js';
import type { InputLayout, ParitySet, Quantisation } from '../model/bundle.js';
import type { Device } from '../model/session.js';

/** Score histogram: four bins per octave, read off the float's exponent and top mantissa bits. Bin 0 also holds
 * everything below zero. */
export const HISTOGRAM_BINS = 1024;
const HISTOGRAM_SHIFT = 21;

/** Histogram bin of a float32 score given as its bits. */
export function histogramBin(bits: number): number {
  return bits < 0 ? 0 : bits >> HISTOGRAM_SHIFT;
}

/** Upper edge of a histogram bin, as a score. */
export function histogramEdge(bin: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setInt32(0, (bin + 1) << HISTOGRAM_SHIFT);
  return view.getFloat32(0);
}

/** The score of an event that the student of a path rejected, so that the path's model never saw it: the lowest float32. */
export const REJECTED_SCORE = -3.4028234663852886e38;

export interface SlotGeometry {
  /** HW32 events a slot holds; PHYS32 events are three times as large, so it holds a third of them. */
  readonly capacity: number;
  readonly paths: number;
}

/** Typed views of a slot. Arrays per path are path after path. */
export interface SlotViews {
  readonly objects: Uint8Array;
  /** uint16 per event: its bunch crossing. */
  readonly crossings: Uint16Array;
  /** float32 [paths, capacity]. */
  readonly scores: Float32Array;
  /** One code of EVENT_FAULTS per event. */
  readonly faults: Uint8Array;
  /** uint32 [paths, HISTOGRAM_BINS] of this batch's scores. */
  readonly histograms: Uint32Array;
}

const ALIGNMENT_BYTES = 64;

interface SlotLayout {
  readonly objects: number;
  readonly crossings: number;
  readonly scores: number;
  readonly faults: number;
  readonly histograms: number;
  readonly bytes: number;
}

function layoutOf({ capacity, paths }: SlotGeometry): SlotLayout {
  let end = 0;
  const take = (bytes: number): number => {
    const start = end;
    end = Math.ceil((start + bytes) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    return start;
  };
  return {
    objects: take(capacity * HW32_BYTES),
    crossings: take(capacity * 2),
    scores: take(capacity * paths * 4),
    faults: take(capacity),
    histograms: take(HISTOGRAM_BINS * paths * 4),
    bytes: end,
  };
}

/** Bytes of a slot. */
export function slotBytes(geometry: SlotGeometry): number {
  return layoutOf(geometry).bytes;
}

export function slotViews(buffer: SharedArrayBuffer, geometry: SlotGeometry): SlotViews {
  const { capacity, paths } = geometry;
  const at = layoutOf(geometry);
  return {
    objects: new Uint8Array(buffer, at.objects, capacity * HW32_BYTES),
    crossings: new Uint16Array(buffer, at.crossings, capacity),
    scores: new Float32Array(buffer, at.scores, capacity * paths),
    faults: new Uint8Array(buffer, at.faults, capacity),
    histograms: new Uint32Array(buffer, at.histograms, HISTOGRAM_BINS * paths),
  };
}

/** How many events of an encoding fit into a slot. */
export function slotCapacity(geometry: SlotGeometry, encoding: Encoding): number {
  return Math.floor((geometry.capacity * HW32_BYTES) / bytesPerEvent(encoding));
}

export interface LoadedModel {
  readonly bytes: Uint8Array;
  readonly layout: InputLayout;
  /** What to score before anything else, of the bundle in this folder, where nobody has done it before. */
  readonly parity?: ParitySet;
  readonly directory?: string;
}

interface WorkerModel extends LoadedModel {
  readonly threshold: number;
  /** What rejects events before the model scores them, with its cut. */
  readonly student?: LoadedModel & { readonly cut: number };
}

/** What a worker loads once, when it starts. */
export interface WorkerSetup {
  readonly geometry: SlotGeometry;
  readonly slots: readonly SharedArrayBuffer[];
  readonly models: readonly WorkerModel[];
  readonly quantisation: Quantisation;
  readonly device: Device;
  /** Most rows of an inference call. */
  readonly rows: number;
}

/** Where the objects of consecutive events of a task lie, as they are on the wire. */
export interface Piece {
  /** Undefined: the slot's own {@link SlotViews.objects}. */
  readonly memory: SharedArrayBuffer | undefined;
  /** First byte of the memory. */
  readonly at: number;
  readonly events: number;
}

/** A view of some bytes of a piece, `from` its beginning on; `slot` is where the slot's own objects lie. */
export function bytesOfPiece({ memory, at }: Piece, slot: Uint8Array, from: number, length: number): Uint8Array {
  return memory === undefined
    ? slot.subarray(at + from, at + from + length)
    : new Uint8Array(memory, at + from, length);
}

export interface ScoreTask {
  readonly slot: number;
  readonly events: number;
  readonly encoding: Encoding;
  /** All events, in order. */
  readonly pieces: readonly Piece[];
}

export interface ScoreResult {
  /** Rows that at least one path accepted, ascending. */
  readonly accepted: readonly number[];
  /** Rows whose code in {@link SlotViews.faults} is not 0, ascending. */
  readonly faulty: readonly number[];
  /** Of each path: events that its student rejected. */
  readonly rejectedByStudent: readonly number[];
  readonly unpackMs: number;
  readonly inferMs: number;
  readonly decideMs: number;
}
