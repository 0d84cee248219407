/** A ledger, what was published and what is decided anew, with differences planted between them. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { AcceptedEvent } from '#nae/event/accepted-event.js';
import { Encoding } from '#nae/event/layout.js';
import { nextEntry, type LedgerEntry, type LedgerFrame } from '#nae/ledger/entry.js';
import { frameDigest, inputChecksum, type DecidedFrame } from '#nae/ledger/frame-digest.js';
import { entryOfLine, ledgerLine } from '#nae/ledger/ledger-file.js';
import { decodeLedgerEntry, encodeLedgerEntry } from '#nae/ledger/entry.js';
import { LedgerLines } from '#nae/ledger/ledger-lines.js';
import { Verification } from '#nae/ledger/verification.js';

const SINK = 'out';
const HERE = 'here';
const MENUS = [
  [{ path: 'p', modelSha256: 'aa'.repeat(32), threshold: 1 }],
  [{ path: 'p', modelSha256: 'bb'.repeat(32), threshold: 2 }],
];

/** The frames of a stream of two partitions: the second menu takes over at frame 4 of each. */
function decide(accepted: readonly (readonly number[])[]): DecidedFrame[] {
  return accepted.flatMap((indices, number) =>
    [0, 1].map((partition) => {
      const position = { source: 'in', partition, offset: BigInt(number * 2) };
      const paths = MENUS[number < 4 ? 0 : 1]!;
      return {
        position,
        input: inputChecksum(Uint8Array.of(number, partition)),
        paths,
        accepted: indices.map((index): AcceptedEvent => ({
          run: 1,
          luminositySection: 0,
          orbit: number,
          bunchCrossing: index + 1,
          encoding: Encoding.HW32,
          objects: new Uint8Array(76).fill(index),
          paths: [{ ...paths[0]!, model: 'm', score: Math.fround(paths[0]!.threshold * (1 + index / 100)) }],
          position,
          index,
          label: undefined,
        })),
        deadLetters: [],
      };
    }),
  );
}

function lineOf(frame: DecidedFrame): LedgerFrame {
  return {
    offset: frame.position.offset,
    menu: frame.paths === MENUS[0] ? 1 : 2,
    accepted: frame.accepted.length,
    faults: 0,
    digest: frameDigest(frame),
    input: frame.input,
  };
}

/** Entries of `size` frames each. */
function takeDown(frames: readonly DecidedFrame[], size: number, origin: Partial<LedgerEntry> = {}): LedgerEntry[] {
  return [0, 1].flatMap((partition) => {
    const lines = frames.filter(({ position }) => position.partition === partition).map(lineOf);
    const entries: LedgerEntry[] = [];
    for (let at = 0; at < lines.length; at += size) {
      const section = {
        source: 'in',
        partition,
        frames: lines.slice(at, at + size),
        paths: MENUS.flatMap((paths, menu) => paths.map((path) => ({ ...path, menu: menu + 1 }))),
      };
      const previous = entries.at(-1)?.chain ?? new Uint8Array(0);
      entries.push(nextEntry(section, previous, { sink: SINK, environment: HERE, atLeastOnce: false, ...origin }));
    }
    return entries;
  });
}

interface Verified {
  readonly entries: readonly LedgerEntry[];
  readonly published: readonly AcceptedEvent[];
  readonly input: readonly DecidedFrame[];
  readonly inputFrom?: ReadonlyMap<number, bigint>;
  readonly fromBeginning?: boolean;
}

function verify({ entries, published, input, inputFrom, fromBeginning = true }: Verified): Verification {
  const lines = new LedgerLines({ entries, sink: SINK, fromBeginning, ...(inputFrom && { inputFrom }) });
  const verification = new Verification(lines, published, HERE);
  for (const frame of input) {
    if (lines.lineOf(frame.position) === undefined) verification.addUnlisted(frame.position);
    else verification.add(frame, frameDigest(frame));
  }
  verification.end();
  return verification;
}

const publishedOf = (frames: readonly DecidedFrame[]): AcceptedEvent[] => frames.flatMap(({ accepted }) => accepted);

/** Accepted indices of at least two frames, of which at least one accepts. */
const stream = fc
  .array(
    fc.uniqueArray(fc.nat(9), { maxLength: 3 }).map((indices) => indices.sort((a, b) => a - b)),
    {
      minLength: 2,
      maxLength: 8,
    },
  )
  .filter((frames) => frames.some(({ length }) => length > 0));
const sizes = fc.integer({ min: 1, max: 5 });

describe('verification', () => {
  it('finds what was taken down identical, and where menus took over', () => {
    fc.assert(
      fc.property(stream, sizes, (accepted, size) => {
        const frames = decide(accepted);
        const entries = takeDown(frames, size);
        const verification = verify({ entries, published: publishedOf(frames), input: frames });
        expect(verification.difference).toBeUndefined();
        expect(verification).toMatchObject({ frames: frames.length, tolerated: 0, outside: 0, repeated: 0 });
        const swaps = verification.ledger.swaps().map(({ at }) => at);
        expect(swaps).toEqual(accepted.length > 4 ? ['0/8', '1/8'] : []);
        expect(verification.ledger.menus.map(({ frames: count }) => count)).toEqual(
          accepted.length > 4 ? [8, frames.length - 8] : [frames.length],
        );
      }),
    );
  });

  it('names the place of what was planted', () => {
    const which = fc.constantFrom('removed', 'duplicated', 'score', 'input', 'entry', 'digest', 'extra');
    fc.assert(
      fc.property(stream, sizes, fc.nat(), which, (accepted, size, pick, plant) => {
        const frames = decide(accepted);
        let entries = takeDown(frames, size);
        let published = publishedOf(frames);
        let input = frames;
        const event = published[pick % published.length]!;
        const entry = entries[pick % entries.length]!;
        const [line] = entry.frames;
        const { partition, offset } = event.position;
        let where = `${partition}/${offset}/${event.index}`;
        if (plant === 'removed') published = published.filter((one) => one !== event);
        else if (plant === 'duplicated') published.push(event);
        else if (plant === 'extra') {
          published.push({ ...event, index: 20 });
          where = `${partition}/${offset}/20`;
        } else if (plant === 'score') {
          const paths = event.paths.map((path) => ({ ...path, score: path.score + 1e-6 }));
          published = published.map((one) => (one === event ? { ...event, paths } : one));
        } else if (plant === 'input') {
          where = `${partition}/${offset}`;
          input = frames.map((frame) =>
            frame.position === event.position ? { ...frame, input: inputChecksum(Uint8Array.of(99)) } : frame,
          );
        } else {
          where = `${entry.partition}/${line!.offset}`;
          const digest = line!.digest.slice();
          digest[0]! ^= 1;
          const forged = { ...entry, frames: entry.frames.with(0, { ...line!, digest }) };
          entries = entries.flatMap((one) => (one !== entry ? [one] : plant === 'entry' ? [] : [forged]));
          // Without its only entry a partition has no ledger, and all its frames may be about to come into one.
          if (plant === 'entry') {
            fc.pre(entries.some((one) => one.partition === entry.partition));
            // Nor can the last one be missed, but for what it published.
            const isLast = !entries.some(
              (one) => one.partition === entry.partition && one.frames[0]!.offset > line!.offset,
            );
            const first = entry.frames.map(({ offset: at }) =>
              published.find(({ position }) => position.partition === entry.partition && position.offset === at),
            );
            const lost = first.find((one) => one !== undefined);
            fc.pre(!isLast || lost !== undefined);
            if (isLast) where = `${entry.partition}/${lost!.position.offset}/${lost!.index}`;
            else if (first[0] !== undefined) where += `/${first[0].index}`;
          }
        }
        const { difference } = verify({ entries, published, input });
        expect(difference?.where).toBe(where);
      }),
      { numRuns: 400 },
    );
  });

  it('takes repetitions for what delivery at least once allows, and only there', () => {
    const frames = decide([[1], [2, 3], []]);
    const once = { published: publishedOf(frames), input: frames };
    const again = { ...once, published: [...once.published, ...once.published] };
    const loose = takeDown(frames, 2, { atLeastOnce: true });
    // Another process began anew, and its chain too; the one before had published more than it took down.
    const verification = verify({ ...again, entries: [...loose.slice(0, 3), ...loose] });
    expect(verification.difference).toBeUndefined();
    expect(verification.repeated).toBeGreaterThan(once.published.length);
    const strict = takeDown(frames, 2);
    expect(verify({ ...again, entries: strict }).difference?.received).toMatch(/^again/);
    expect(verify({ ...once, entries: [...strict, ...strict] }).difference?.where).toBe('0/0');
    // Published, but its process was killed before the ledger had it.
    const ahead = { ...publishedOf(frames)[0]!, position: { source: 'in', partition: 0, offset: 100n } };
    expect(verify({ ...once, published: [...once.published, ahead], entries: loose }).difference).toBeUndefined();
    expect(verify({ ...once, published: [...once.published, ahead], entries: strict }).difference?.where).toBe(
      '0/100/1',
    );
  });

  it('knows what retention took from what is missing', () => {
    const frames = decide([[1], [2], [3], []]);
    const entries = takeDown(frames, 1);
    const kept = {
      published: publishedOf(frames),
      inputFrom: new Map([
        [0, 4n],
        [1, 4n],
      ]),
    };
    const input = frames.filter(({ position }) => position.offset >= 4n);
    const verification = verify({ ...kept, entries, input });
    expect(verification.difference).toBeUndefined();
    expect(verification.ledger.expired).toBe(4);
    const later = entries.filter(({ frames: [line] }) => line!.offset >= 4n);
    expect(verify({ ...kept, entries: later, input, fromBeginning: false }).difference).toBeUndefined();
    expect(verify({ ...kept, entries: later, input }).difference).toMatchObject({ where: '0/4', what: 'ledger' });
  });

  it('refuses to compare digests that are taken otherwise', () => {
    const frames = decide([[1], []]);
    const entries = takeDown(frames, 2).map((entry) => ({ ...entry, format: 1 }));
    expect(verify({ entries, published: publishedOf(frames), input: frames }).difference).toMatchObject({
      expected: 'an entry of format 2',
      received: 'format 1',
    });
  });

  it('lets another environment differ in scores a little, and at the threshold in who accepts', () => {
    const frames = decide([[0, 5], [7]]);
    const entries = takeDown(frames, 2, { environment: 'there' });
    const scaled = (by: number): DecidedFrame[] =>
      frames.map((frame) => ({
        ...frame,
        accepted: frame.accepted
          .map((event) => ({ ...event, paths: event.paths.map((path) => ({ ...path, score: path.score * by })) }))
          .filter(({ paths: [path] }) => path!.score >= path!.threshold),
      }));
    // Events of index 0 score at their threshold.
    const verification = verify({ entries, published: publishedOf(frames), input: scaled(1 - 1e-6) });
    expect(verification.difference).toBeUndefined();
    expect(verification).toMatchObject({ tolerated: 4, borderline: 2 });
    expect(verify({ entries, published: publishedOf(frames), input: scaled(1 + 1e-3) }).difference?.where).toBe(
      '0/0/0',
    );
    expect(verify({ entries, published: publishedOf(frames), input: scaled(0.5) }).difference?.where).toBe('0/0/5');
    // What was received is compared exactly all the same.
    const changed = frames.map((frame) => ({ ...frame, input: inputChecksum(Uint8Array.of(1, 2, 3)) }));
    expect(verify({ entries, published: publishedOf(frames), input: changed }).difference).toMatchObject({
      what: 'input',
    });
  });

  it('writes and reads entries without loss, as message and as line', () => {
    fc.assert(
      fc.property(stream, sizes, fc.boolean(), (accepted, size, atLeastOnce) => {
        for (const entry of takeDown(decide(accepted), size, { atLeastOnce })) {
          const plain = (of: LedgerEntry): unknown => JSON.parse(ledgerLine(of));
          expect(plain(decodeLedgerEntry(encodeLedgerEntry(entry)))).toEqual(plain(entry));
          expect(plain(entryOfLine(ledgerLine(entry)))).toEqual(plain(entry));
        }
      }),
    );
  });
});
