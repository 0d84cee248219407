/**
 * The fast way from HW32 words to planar codes: unpack-words.wat, with SIMD instructions that JavaScript has not.
 * What it computes is defined by `unpackWords` in hardware-words.ts.
 */
import { readFileSync } from 'node:fs';

import { faultOfWords } from './hardware-words.js';
import { HW32_BYTES, OBJECTS_PER_EVENT, VALUES_PER_EVENT } from './layout.js';

const PAGE_BYTES = 65536;
const ALIGNMENT_BYTES = 64;

/** Addresses of the words, codes and fault flags; returns how many events are faulty. */
type Unpack = (words: number, events: number, codes: number, faults: number) => number;

/** Unpacks up to `rows` events at a time into an array of its own. */
export class WordUnpacker {
  /** int16 [rows, 57] planar codes, for anyone to read and write. Its memory never moves. */
  readonly codes: Int16Array<ArrayBuffer>;
  /** uint8 [rows]: fault codes of the events, see EVENT_FAULTS. */
  readonly faults: Uint8Array<ArrayBuffer>;
  readonly #words: Int32Array;
  readonly #unpack: Unpack;

  constructor(rows: number) {
    const codesAt = aligned(rows * HW32_BYTES);
    const faultsAt = aligned(codesAt + 2 * rows * VALUES_PER_EVENT);
    const pages = Math.ceil((faultsAt + rows) / PAGE_BYTES);
    // Memory that grew would detach its views.
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.#words = new Int32Array(memory.buffer, 0, rows * OBJECTS_PER_EVENT);
    this.codes = new Int16Array(memory.buffer, codesAt, rows * VALUES_PER_EVENT);
    this.faults = new Uint8Array(memory.buffer, faultsAt, rows);
    const module = new WebAssembly.Module(readFileSync(new URL('./unpack-words.wasm', import.meta.url)));
    this.#unpack = new WebAssembly.Instance(module, { unpacker: { memory } }).exports.unpack as Unpack;
  }

  /**
   * Unpack events into the first rows of {@link codes} and {@link faults}; the codes of faulty events are set to zero.
   *
   * @param words - signed view of the words, 19 per event
   * @returns how many events are faulty
   */
  unpack(words: Int32Array): number {
    const { faults } = this;
    const events = words.length / OBJECTS_PER_EVENT;
    this.#words.set(words);
    const faulty = this.#unpack(this.#words.byteOffset, events, this.codes.byteOffset, faults.byteOffset);
    for (let event = 0, left = faulty; left > 0; event++) {
      if (faults[event] === 0) continue;
      faults[event] = faultOfWords(this.#words, event * OBJECTS_PER_EVENT);
      this.codes.fill(0, event * VALUES_PER_EVENT, (event + 1) * VALUES_PER_EVENT);
      left--;
    }
    return faulty;
  }
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
}
