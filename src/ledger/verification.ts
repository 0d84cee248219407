/**
 * Compares decisions that were taken anew with a ledger and with the accepted events that were published.
 */
import type { AcceptedEvent } from '../event/accepted-event.js';
import { chainOf, type LedgerEntry, type LedgerFrame } from './entry.js';
import type { DecidedFrame } from './frame-digest.js';

/** The first place at which something is not as it was taken down. */
export interface Difference {
  /** `PARTITION/OFFSET`, with `/INDEX` where it is one event. */
  readonly where: string;
  readonly expected: string;
  readonly received: string;
}

/** Relative; what the scores of other processors, providers and versions may differ by. */
export const SCORE_TOLERANCE = 1e-4;

export class Verification {
  /** Frames that were compared, and their events that were accepted. */
  frames = 0;
  accepted = 0;
  /** Frames of the input that the ledger does not reach yet. */
  beyond = 0;
  difference: Difference | undefined;
  readonly #exact: boolean;
  readonly #ledger = new Map<string, LedgerFrame>();
  readonly #ends = new Map<number, bigint>();
  readonly #published = new Map<string, AcceptedEvent[]>();

  /**
   * @param entries - of one source, in the order of the ledger within each partition
   * @param exact - decided in the same environment: identical, and not within {@link SCORE_TOLERANCE} alone
   */
  constructor(entries: readonly LedgerEntry[], published: readonly AcceptedEvent[], exact: boolean) {
    this.#exact = exact;
    const chains = new Map<number, Uint8Array>();
    for (const { partition, previous, frames, chain } of entries) {
      const first = `${partition}/${frames[0]?.offset ?? 'no frame'}`;
      const before = chains.get(partition);
      if (before !== undefined) this.#expect(first, `chain ${hex(before)}`, `chain ${hex(previous)}`);
      this.#expect(first, `chain ${hex(chainOf(previous, frames))}`, `chain ${hex(chain)}`);
      chains.set(partition, chain);
      for (const frame of frames) {
        const key = `${partition}/${frame.offset}`;
        if (this.#ledger.has(key)) this.#expect(key, 'one entry in the ledger', 'another one');
        this.#ledger.set(key, frame);
        this.#ends.set(partition, frame.offset);
      }
    }
    for (const event of published) {
      const key = `${event.position.partition}/${event.position.offset}`;
      const events = this.#published.get(key);
      if (events === undefined) this.#published.set(key, [event]);
      else events.push(event);
    }
  }

  /** A frame decided anew. */
  add(
    { position, accepted, deadLetters }: Pick<DecidedFrame, 'position' | 'accepted' | 'deadLetters'>,
    digest: Uint8Array,
  ): void {
    const key = `${position.partition}/${position.offset}`;
    const line = this.#ledger.get(key);
    if (line === undefined) {
      if (position.offset > (this.#ends.get(position.partition) ?? -1n)) this.beyond++;
      else this.#expect(key, 'a line in the ledger', 'none');
      return;
    }
    this.frames++;
    this.accepted += accepted.length;
    this.#ledger.delete(key);
    const published = (this.#published.get(key) ?? []).sort((a, b) => a.index - b.index);
    this.#published.delete(key);
    // The single event says more than the digest of its frame: it is looked at first.
    for (let at = 0; at < Math.max(published.length, accepted.length); at++) {
      const [decided, found] = [accepted[at], published[at]];
      const index = Math.min(decided?.index ?? Infinity, found?.index ?? Infinity);
      const expected = decided?.index === index ? this.#described(decided, found) : 'not accepted';
      const received = found?.index === index ? this.#described(found) : 'not published';
      this.#expect(`${key}/${index}`, expected, received);
      if (this.difference !== undefined) return;
    }
    const lineOf = (events: number, faults: number, sum: Uint8Array): string =>
      `${events} accepted events, ${faults} dead letters${this.#exact ? `, digest ${hex(sum)}` : ''}`;
    this.#expect(
      key,
      lineOf(accepted.length, deadLetters.length, digest),
      lineOf(line.accepted, line.faults, line.digest),
    );
  }

  /** The input is read to its end: what is left was not there. */
  end(): void {
    const [line] = this.#ledger.keys();
    if (line !== undefined) this.#expect(line, 'the frame in the input', 'no such frame');
    const [key, events] = [...this.#published][0] ?? [];
    if (key !== undefined)
      this.#expect(`${key}/${events![0]!.index}`, 'a frame in the ledger', this.#described(events![0]!));
  }

  #expect(where: string, expected: string, received: string): void {
    if (expected !== received) this.difference ??= { where, expected, received };
  }

  /** @param other - whose scores are taken for the same within the tolerance */
  #described({ objects, paths }: AcceptedEvent, other?: AcceptedEvent): string {
    const decisions = paths.map(({ path, modelSha256, score, threshold }) => {
      const theirs = other?.paths.find((one) => one.path === path)?.score;
      const same =
        !this.#exact && theirs !== undefined && Math.abs(score - theirs) <= SCORE_TOLERANCE * Math.abs(score);
      return `${path} (${modelSha256.slice(0, 12)}) ${same ? theirs : score} >= ${threshold}`;
    });
    return `accepted by ${decisions.join(', ')}, objects ${hex(objects)}`;
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
