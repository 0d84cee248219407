/**
 * Scored events on disk: a temporary file that is written once while events stream in and read as often as needed.
 * Memory does not grow with the number of events; the file takes {@link ScoredSample.bytesPerEvent} of each.
 */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { messageOf, TriggerError } from '../errors.js';
import { groupHashes, nameHash } from './poisson-weights.js';

/** Words of a row before its scores. */
export const ROW = { group: 0, groupCheck: 1, kinematics: 2, tag: 3, scores: 4 } as const;
/** In a row's tag: the class of the event, and whether another trigger takes it. */
export const CLASS_MASK = 0xffff;
export const TAKEN_ELSEWHERE = 0x10000;

const BUFFER_ROWS = 16384;

export interface SampleClass {
  readonly name: string;
  events: number;
  /** Whether its events name the parton event they come from: those that share one are not independent. */
  grouped: boolean;
}

/** Some rows of a sample; both arrays are views of the same memory and are overwritten by the next block. */
export interface Rows {
  readonly count: number;
  readonly words: Uint32Array;
  readonly floats: Float32Array;
}

export class ScoredSample {
  readonly models: number;
  /** The first is the background. */
  readonly classes: SampleClass[] = [];
  /** 32-bit words of a row. */
  readonly stride: number;
  /** Where the sample, and whoever sorts it, may keep temporary files. */
  readonly folder: string;
  readonly #file: number;
  readonly #words: Uint32Array;
  readonly #floats: Float32Array;
  readonly #hashes: number[] = [];
  #buffered = 0;
  #rows = 0;

  constructor(models: number) {
    this.models = models;
    this.stride = ROW.scores + models;
    this.#words = new Uint32Array(BUFFER_ROWS * this.stride);
    this.#floats = new Float32Array(this.#words.buffer);
    this.folder = mkdtempSync(join(tmpdir(), 'nae-trigger-'));
    this.#file = openSync(join(this.folder, 'scores'), 'w+', 0o600);
    this.classOf('');
  }

  get rows(): number {
    return this.#rows;
  }

  /** Number of the class of a name, a new one where there is none. */
  classOf(name: string): number {
    const known = this.classes.findIndex((one) => one.name === name);
    if (known >= 0) return known;
    this.#hashes.push(nameHash(name));
    return this.classes.push({ name, events: 0, grouped: false }) - 1;
  }

  /**
   * Append an event.
   *
   * @param group - the generated parton event, or the event's own number where none is known
   * @param kinematics - see evaluate/kinematics.ts
   * @param scores - float32 [models, events] of a frame that holds the event at `at`
   */
  add(
    classNumber: number,
    group: number,
    kinematics: number,
    takenElsewhere: boolean,
    scores: Float32Array,
    events: number,
    at: number,
  ): void {
    this.classes[classNumber]!.events++;
    const [hash, check] = groupHashes(this.#hashes[classNumber]!, group);
    const row = this.#buffered * this.stride;
    this.#words[row + ROW.group] = hash;
    this.#words[row + ROW.groupCheck] = check;
    this.#words[row + ROW.kinematics] = kinematics;
    this.#words[row + ROW.tag] = classNumber | (takenElsewhere ? TAKEN_ELSEWHERE : 0);
    for (let model = 0; model < this.models; model++) {
      // + 0: no negative zero, which would sort below zero.
      this.#floats[row + ROW.scores + model] = scores[model * events + at]! + 0;
    }
    this.#rows++;
    if (++this.#buffered === BUFFER_ROWS) this.#spill();
  }

  #spill(): void {
    writeWords(this.#file, this.#words.subarray(0, this.#buffered * this.stride));
    this.#buffered = 0;
  }

  /** All rows in the order they were added, in blocks. */
  *blocks(): Generator<Rows, undefined> {
    this.#spill();
    const words = new Uint32Array(BUFFER_ROWS * this.stride);
    const floats = new Float32Array(words.buffer);
    for (let first = 0; first < this.#rows; first += BUFFER_ROWS) {
      const count = Math.min(BUFFER_ROWS, this.#rows - first);
      readWords(this.#file, words, count * this.stride, first * this.stride);
      yield { count, words, floats };
    }
  }

  /** Remove the files. */
  close(): void {
    closeSync(this.#file);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Append words to a file. Throws SINK_FAILED where the disk is full. */
export function writeWords(file: number, words: Uint32Array): void {
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  try {
    for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
  } catch (error) {
    throw new TriggerError('SINK_FAILED', `temporary file in ${tmpdir()} (TMPDIR): ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Read `count` words from word `position` of a file on. */
export function readWords(file: number, words: Uint32Array, count: number, position: number): void {
  const bytes = new Uint8Array(words.buffer, words.byteOffset, 4 * count);
  for (let at = 0; at < bytes.length;) {
    const read = readSync(file, bytes, at, bytes.length - at, 4 * position + at);
    if (read === 0) throw new TriggerError('RECORDING_TRUNCATED', `temporary file in ${tmpdir()} became shorter`);
    at += read;
  }
}
