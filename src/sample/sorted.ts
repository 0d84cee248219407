/**
 * External sorting: the rows of a sample by one 32-bit key, exactly and in constant memory. Runs of
 * {@link RUN_ROWS} rows are sorted in memory (radix) and merged from temporary files, at most {@link FAN_IN} at once.
 */
import { closeSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { readWords, ROW, writeWords, type ScoredSample } from './scored-sample.js';

/** Words of a sorted row: key, then group, kinematics and tag as in a sample's row. */
export const SORTED = { key: 0, group: 1, kinematics: 2, tag: 3, words: 4 } as const;

const RUN_ROWS = 1 << 18;
const FAN_IN = 128;
const READ_ROWS = 4096;

/** Sorts ascending by key as an unsigned number. Rows of one key keep no particular order. */
export class RowSorter {
  readonly #folder: string;
  readonly #rows = new Uint32Array(RUN_ROWS * SORTED.words);
  #runs: { readonly file: number; readonly path: string; readonly rows: number }[] = [];
  #count = 0;
  #files = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  add(key: number, group: number, kinematics: number, tag: number): void {
    const at = this.#count * SORTED.words;
    this.#rows[at + SORTED.key] = key;
    this.#rows[at + SORTED.group] = group;
    this.#rows[at + SORTED.kinematics] = kinematics;
    this.#rows[at + SORTED.tag] = tag;
    if (++this.#count === RUN_ROWS) this.#endRun();
  }

  #endRun(): void {
    const sorted = sortRows(this.#rows, this.#count);
    const run = this.#create(this.#count);
    writeWords(run.file, sorted);
    this.#runs.push(run);
    this.#count = 0;
    if (this.#runs.length === FAN_IN) this.#mergeAll();
  }

  #create(rows: number): { file: number; path: string; rows: number } {
    const path = join(this.#folder, `run-${this.#files++}`);
    return { path, file: openSync(path, 'w+', 0o600), rows };
  }

  /** Make one run of all. */
  #mergeAll(): void {
    const all = this.#runs;
    const merged = this.#create(all.reduce((sum, { rows }) => sum + rows, 0));
    const buffer = new Uint32Array(READ_ROWS * SORTED.words);
    let buffered = 0;
    for (const { words, at } of merge(all)) {
      buffer.set(words.subarray(at, at + SORTED.words), buffered * SORTED.words);
      if (++buffered < READ_ROWS) continue;
      writeWords(merged.file, buffer);
      buffered = 0;
    }
    writeWords(merged.file, buffer.subarray(0, buffered * SORTED.words));
    for (const run of all) remove(run);
    this.#runs = [merged];
  }

  /** The rows, smallest key first, each as `words` from `at` on, valid until the next one. The files go at the end. */
  *ascending(): Generator<{ readonly words: Uint32Array; readonly at: number }, undefined> {
    if (this.#count > 0) this.#endRun();
    try {
      yield* merge(this.#runs);
    } finally {
      for (const run of this.#runs.splice(0)) remove(run);
    }
  }
}

function remove({ file, path }: { file: number; path: string }): void {
  closeSync(file);
  rmSync(path);
}

/** Sorted copy of the first rows: least significant digit first, 11 bits at a time. */
function sortRows(rows: Uint32Array, count: number): Uint32Array {
  let order = Uint32Array.from({ length: count }, (_, row) => row);
  let next = new Uint32Array(count);
  for (const shift of [0, 11, 22]) {
    const starts = new Uint32Array(2049);
    for (let row = 0; row < count; row++) starts[((rows[4 * row]! >>> shift) & 0x7ff) + 1]!++;
    for (let digit = 1; digit <= 2048; digit++) starts[digit] = starts[digit]! + starts[digit - 1]!;
    for (let place = 0; place < count; place++) {
      const row = order[place]!;
      next[starts[(rows[4 * row]! >>> shift) & 0x7ff]!++] = row;
    }
    [order, next] = [next, order];
  }
  const sorted = new Uint32Array(count * SORTED.words);
  for (let place = 0; place < count; place++) {
    const from = order[place]! * SORTED.words;
    for (let word = 0; word < SORTED.words; word++) sorted[place * SORTED.words + word] = rows[from + word]!;
  }
  return sorted;
}

/** One run being read: its current row is `words` from `at` on. */
interface Cursor {
  readonly file: number;
  readonly words: Uint32Array;
  at: number;
  end: number;
  position: number;
  left: number;
}

function refill(cursor: Cursor): boolean {
  if (cursor.left === 0) return false;
  const rows = Math.min(READ_ROWS, cursor.left);
  readWords(cursor.file, cursor.words, rows * SORTED.words, cursor.position);
  cursor.at = 0;
  cursor.end = rows * SORTED.words;
  cursor.position += cursor.end;
  cursor.left -= rows;
  return true;
}

function* merge(
  runs: readonly { readonly file: number; readonly rows: number }[],
): Generator<{ readonly words: Uint32Array; readonly at: number }, undefined> {
  const heap: Cursor[] = [];
  for (const { file, rows } of runs) {
    const words = new Uint32Array(READ_ROWS * SORTED.words);
    const cursor = { file, words, at: 0, end: 0, position: 0, left: rows };
    if (refill(cursor)) heap.push(cursor);
  }
  for (let node = (heap.length >> 1) - 1; node >= 0; node--) siftDown(heap, node);
  while (heap.length > 0) {
    const first = heap[0]!;
    yield first;
    first.at += SORTED.words;
    if (first.at === first.end && !refill(first)) {
      const last = heap.pop()!;
      if (heap.length > 0 && last !== first) heap[0] = last;
    }
    siftDown(heap, 0);
  }
}

function siftDown(heap: Cursor[], start: number): void {
  const key = (node: number): number => heap[node]!.words[heap[node]!.at]!;
  for (let node = start; ;) {
    let smallest = node;
    for (const child of [2 * node + 1, 2 * node + 2]) {
      if (child < heap.length && key(child) < key(smallest)) smallest = child;
    }
    if (smallest === node) return;
    [heap[node], heap[smallest]] = [heap[smallest]!, heap[node]!];
    node = smallest;
  }
}

const pun = new DataView(new ArrayBuffer(4));

/** Key that sorts scores from the highest down: the order of float32 in the order of unsigned words, reversed. */
function descendingKey(score: number): number {
  pun.setFloat32(0, score);
  const bits = pun.getInt32(0);
  return ~(bits ^ ((bits >> 31) | 0x80000000)) >>> 0;
}

/** The score of a {@link descendingKey}. */
export function scoreOfKey(key: number): number {
  const ascending = ~key;
  pun.setInt32(0, ascending < 0 ? ascending ^ 0x80000000 : ~ascending);
  return pun.getFloat32(0);
}

/** A sample's rows from the highest score down. */
export function byDescendingScore(
  sample: ScoredSample,
  scoreOf: (floats: Float32Array, row: number) => number,
): ReturnType<RowSorter['ascending']> {
  const sorter = new RowSorter(sample.folder);
  for (const { count, words, floats } of sample.blocks()) {
    for (let event = 0; event < count; event++) {
      const row = event * sample.stride;
      const key = descendingKey(scoreOf(floats, row));
      sorter.add(key, words[row + ROW.group]!, words[row + ROW.kinematics]!, words[row + ROW.tag]!);
    }
  }
  return sorter.ascending();
}
