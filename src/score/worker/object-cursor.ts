/** Walks through the objects of a task's HW32 events, wherever they lie. */
import { HW32_BYTES } from '../../event/layout.js';
import { bytesOfPiece, type Piece } from '../messages.js';

export class ObjectCursor {
  readonly #pieces: readonly Piece[];
  readonly #slot: Uint8Array;
  #piece = 0;
  /** Events of the piece that were taken. */
  #taken = 0;

  /** @param slot - the objects that lie in the slot itself */
  constructor(pieces: readonly Piece[], slot: Uint8Array) {
    this.#pieces = pieces;
    this.#slot = slot;
  }

  /** The objects of the next events: of at least one and of `most` at most. Not more than there are in all. */
  take(most: number): Uint8Array {
    const piece = this.#pieces[this.#piece]!;
    const count = Math.min(most, piece.events - this.#taken);
    const objects = bytesOfPiece(piece, this.#slot, this.#taken * HW32_BYTES, count * HW32_BYTES);
    this.#taken += count;
    if (this.#taken === piece.events) {
      this.#piece++;
      this.#taken = 0;
    }
    return objects;
  }
}
