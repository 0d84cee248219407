/**
 * Memory for reading, used again and again. Buffers of a megabyte that are new with every read cost more than the
 * reading: V8 counts them against its heap and collects garbage twenty times a second. It is shared memory, so that other
 * threads may look at what was read.
 */

/** Bytes with a count of those who still look at them. */
export class Block {
  readonly bytes: Uint8Array;
  readonly #reuse: ((bytes: Uint8Array) => void) | undefined;
  #holders = 1;

  /** @param reuse - takes the bytes back when the last holder has let go of them */
  constructor(bytes: Uint8Array, reuse?: (bytes: Uint8Array) => void) {
    this.bytes = bytes;
    this.#reuse = reuse;
  }

  /** Throws where nobody held the block any more: its bytes may be somebody else's by now. */
  hold(): this {
    if (this.#holders === 0) throw new Error('a block of memory was used after it had been let go of');
    this.#holders++;
    return this;
  }

  /** A block of the first `length` bytes, which holds this one in its maker's place. */
  upTo(length: number): Block {
    return new Block(this.bytes.subarray(0, length), () => {
      this.release();
    });
  }

  /** Let go: once for the block's maker and once for every {@link hold}. */
  release(): void {
    this.#holders--;
    if (this.#holders === 0) this.#reuse?.(this.bytes);
  }
}

/**
 * Of what is let go of beyond this, the oldest is given up, so that the pool never holds more [bytes]. A running stream
 * should not come there, which by default has 64 MiB in flight: V8 does not count shared memory, so what is given up
 * stays until garbage is collected for other reasons (at 32 MiB the process grew by 100 MB over 400 million events).
 */
const MAX_FREE_BYTES = 96 * 1024 * 1024;

export class BlockPool {
  readonly #unitBytes: number;
  /** Oldest first. */
  readonly #free: Uint8Array[] = [];
  #freeBytes = 0;

  /** @param unitBytes - sizes of blocks are multiples of it */
  constructor(unitBytes: number) {
    this.#unitBytes = unitBytes;
  }

  /** A block of as many bytes, rounded up to whole units; by default one. Its content is undefined. */
  take(bytes = this.#unitBytes): Block {
    const size = Math.ceil(bytes / this.#unitBytes) * this.#unitBytes;
    return new Block(this.#takeFree(size) ?? Buffer.from(new SharedArrayBuffer(size)), (free) => {
      this.#free.push(free);
      this.#freeBytes += size;
      while (this.#freeBytes > MAX_FREE_BYTES) this.#freeBytes -= this.#free.shift()!.length;
    });
  }

  #takeFree(size: number): Uint8Array | undefined {
    const at = this.#free.findLastIndex(({ length }) => length === size);
    if (at === -1) return undefined;
    this.#freeBytes -= size;
    return this.#free.splice(at, 1)[0];
  }
}
