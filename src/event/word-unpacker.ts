/**
 * The fast way from HW32 words to planar codes: unpack-words.wat, with SIMD instructions that JavaScript has not.
 * What it computes is defined by `unpackWords` in hardware-words.ts.
 */
import { readFileSync } from 'node:fs';

import { faultOfWords } from './hardware-words.js';
import { HW32_BYTES, OBJECTS_PER_EVENT, VALUES_PER_EVENT } from './layout.js';

const PAGE_BYTES = 65536;
const ALIGNMENT_BYTES = 64;
/** Events whose words are copied at a time: they stay in the cache until they are unpacked. */
const STAGED_EVENTS = 512;

/** Addresses of the words, codes and fault flags; returns how many events are faulty. */
type Unpack = (words: number, events: number, codes: number, faults: number) => number;

/** Unpacks up to `rows` events at a time into an array of its own. */
export class WordUnpacker {
  /** int16 [rows, 57] planar codes, for anyone to read and write. Its memory never moves. */
  readonly codes: Int16Array<ArrayBuffer>;
  /** uint8 [rows]: fault codes of the events, see EVENT_FAULTS. */
  readonly faults: Uint8Array<ArrayBuffer>;
  /** int32 [STAGED_EVENTS, 19]. */
  readonly #words: Int32Array;
  /** The same memory: what fills a Buffer is copied at full speed, also from shared memory, which a `set` is not. */
  readonly #staged: Buffer;
  readonly #unpack: Unpack;

  constructor(rows: number) {
    const codesAt = aligned(STAGED_EVENTS * HW32_BYTES);
    const faultsAt = aligned(codesAt + 2 * rows * VALUES_PER_EVENT);
    const pages = Math.ceil((faultsAt + rows) / PAGE_BYTES);
    // Memory that grew would detach its views.
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.#words = new Int32Array(memory.buffer, 0, STAGED_EVENTS * OBJECTS_PER_EVENT);
    this.#staged = Buffer.from(memory.buffer, 0, STAGED_EVENTS * HW32_BYTES);
    this.codes = new Int16Array(memory.buffer, codesAt, rows * VALUES_PER_EVENT);
    this.faults = new Uint8Array(memory.buffer, faultsAt, rows);
    const module = new WebAssembly.Module(readFileSync(new URL('./unpack-words.wasm', import.meta.url)));
    this.#unpack = new WebAssembly.Instance(module, { unpacker: { memory } }).exports.unpack as Unpack;
  }

  /**
   * Unpack events into rows of {@link codes} and {@link faults}; the codes of faulty events are set to zero.
   *
   * @param objects - their words as they are on the wire, at any address
   * @param row - where the first of them goes
   * @returns how many events are faulty
   */
  unpack(objects: Uint8Array, row = 0): number {
    const events = objects.length / HW32_BYTES;
    let faulty = 0;
    for (let first = 0; first < events; first += STAGED_EVENTS) {
      const staged = Math.min(STAGED_EVENTS, events - first);
      this.#staged.fill(objects.subarray(first * HW32_BYTES, (first + staged) * HW32_BYTES), 0, staged * HW32_BYTES);
      faulty += this.#unpackStaged(row + first, staged);
    }
    return faulty;
  }

  #unpackStaged(first: number, events: number): number {
    const { codes, faults } = this;
    const codesAt = codes.byteOffset + 2 * first * VALUES_PER_EVENT;
    const faulty = this.#unpack(this.#words.byteOffset, events, codesAt, faults.byteOffset + first);
    for (let event = 0, left = faulty; left > 0; event++) {
      if (faults[first + event] === 0) continue;
      faults[first + event] = faultOfWords(this.#words, event * OBJECTS_PER_EVENT);
      codes.fill(0, (first + event) * VALUES_PER_EVENT, (first + event + 1) * VALUES_PER_EVENT);
      left--;
    }
    return faulty;
  }
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
}
