/**
 * Memory for reading, used again and again. Buffers of a megabyte that are new with every read cost more than the
 * reading: V8 counts them against its heap and collects garbage twenty times a second.
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

  hold(): this {
    this.#holders++;
    return this;
  }

  /** Let go: once for the block's maker and once for every {@link hold}. */
  release(): void {
    this.#holders--;
    if (this.#holders === 0) this.#reuse?.(this.bytes);
  }
}

/** Blocks that are let go of too late stay out of the pool, so that it never holds more than this. */
const MAX_FREE_BLOCKS = 32;

export class BlockPool {
  readonly #blockBytes: number;
  readonly #free: Uint8Array[] = [];

  constructor(blockBytes: number) {
    this.#blockBytes = blockBytes;
  }

  /** A block of the pool's size, or of `bytes` where that is more. Its content is undefined. */
  take(bytes = this.#blockBytes): Block {
    if (bytes > this.#blockBytes) return new Block(Buffer.allocUnsafeSlow(bytes));
    return new Block(this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#blockBytes), (free) => {
      if (this.#free.length < MAX_FREE_BLOCKS) this.#free.push(free);
    });
  }
}
