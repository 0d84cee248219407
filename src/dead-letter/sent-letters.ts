/**
 * Which letters of one partition were sent: what a consumer group's offset says (all before it), and, where filters
 * passed letters over, the ranges beyond it in the offset's metadata.
 */
import { TriggerError } from '../errors.js';

/** Brokers take 4096 bytes of metadata unless told otherwise (offset.metadata.max.bytes). */
const MAX_METADATA_BYTES = 4096;

export class SentLetters {
  /** Half-open ranges [start, end) of numbers that need not be sent, rising, with gaps between. */
  readonly #ranges: [bigint, bigint][] = [];
  /** One past the last number met. */
  #met = 0n;

  /** What was committed; an offset below 0 is none. */
  static parse(offset: bigint, metadata: string | null): SentLetters {
    const sent = new SentLetters();
    if (offset < 0n) return sent;
    if (offset > 0n) sent.#ranges.push([0n, offset]);
    let at = offset;
    for (const word of (metadata ?? '').split(' ').filter((part) => part !== '')) {
      const [gap, length] = word.split('+').map((digits) => BigInt(digits)) as [bigint, bigint];
      sent.#ranges.push([at + gap, at + gap + length]);
      at += gap + length;
    }
    return sent;
  }

  /**
   * The next letter: between it and the letter met before there is none, so that nothing there is left to send.
   *
   * @returns whether it was sent
   */
  meet(number: bigint): boolean {
    if (this.#met < number) this.#add(this.#met, number);
    this.#met = number + 1n;
    return this.#ranges.some(([start, end]) => start <= number && number < end);
  }

  sent(number: bigint): void {
    this.#add(number, number + 1n);
  }

  #add(start: bigint, end: bigint): void {
    const touching = this.#ranges.filter(([from, to]) => from <= end && start <= to);
    const first = this.#ranges.findIndex(([, to]) => to >= start);
    const merged: [bigint, bigint] = [start, end];
    for (const [from, to] of touching) {
      if (from < merged[0]) merged[0] = from;
      if (to > merged[1]) merged[1] = to;
    }
    this.#ranges.splice(first === -1 ? this.#ranges.length : first, touching.length, merged);
  }

  /**
   * As a consumer group commits it.
   *
   * @throws TriggerError USAGE where filters left more gaps than an offset's metadata hold
   */
  format(): { offset: string; metadata: string } {
    const [first] = this.#ranges;
    let at = first?.[0] === 0n ? first[1] : 0n;
    const offset = String(at);
    const words: string[] = [];
    for (const [start, end] of this.#ranges) {
      if (start < at) continue;
      words.push(`${start - at}+${end - start}`);
      at = end;
    }
    const metadata = words.join(' ');
    if (metadata.length > MAX_METADATA_BYTES) {
      throw new TriggerError(
        'USAGE',
        `the letters that were passed over leave ${words.length} gaps, more than a consumer group can remember; ` +
          `send without --reason and --source, or what is asked for under a --group of its own`,
      );
    }
    return { offset, metadata };
  }
}
