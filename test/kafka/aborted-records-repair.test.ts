import { hideAborted, type FetchedPartition, type FetchedRecord } from '#nae/kafka/aborted-records-repair.js';
import fc from 'fast-check';
import { expect, test } from 'vitest';

const context = (producerId: number) => ({ producerId: String(producerId), inTransaction: true });

interface Log {
  readonly records: FetchedRecord[];
  readonly aborted: { producerId: string; firstOffset: string }[];
  readonly visible: string[];
}

/** A partition's log of interleaved transactions, and its list of aborted ones by where they ended, as brokers keep it. */
function logOf(steps: readonly (readonly [producer: number, what: 'record' | 'commit' | 'abort'])[]): Log {
  const records: FetchedRecord[] = [];
  const aborted: Log['aborted'] = [];
  const visible: string[] = [];
  const open = new Map<number, string[]>();
  const end = (producer: number, commit: boolean): void => {
    const own = open.get(producer);
    if (own === undefined) return;
    open.delete(producer);
    if (commit) visible.push(...own);
    else aborted.push({ producerId: String(producer), firstOffset: own[0]! });
    const key = Buffer.from([0, 0, 0, commit ? 1 : 0]);
    records.push({ offset: String(records.length), key, batchContext: context(producer), isControlRecord: true });
  };
  for (const [producer, what] of steps) {
    if (what !== 'record') end(producer, what === 'commit');
    else {
      const offset = String(records.length);
      open.set(producer, [...(open.get(producer) ?? []), offset]);
      records.push({ offset, key: null, batchContext: context(producer), isControlRecord: false });
    }
  }
  for (const producer of [...open.keys()]) end(producer, false);
  return { records, aborted, visible };
}

test('shows what was committed and nothing else, wherever a fetch begins', () => {
  const step = fc.tuple(
    fc.nat(3),
    fc.constantFrom('record' as const, 'record' as const, 'commit' as const, 'abort' as const),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.nat(60), (steps, from) => {
      const { records, aborted, visible } = logOf(steps);
      const ended = (producerId: string, firstOffset: string): boolean => {
        const marker = records.findIndex(
          (r, at) =>
            at > Number(firstOffset) && r.isControlRecord === true && r.batchContext?.producerId === producerId,
        );
        return marker < from;
      };
      const partition: FetchedPartition = {
        messages: records.slice(from),
        // a broker lists what overlaps with the fetch
        abortedTransactions: aborted.filter(({ producerId, firstOffset }) => !ended(producerId, firstOffset)),
      };
      hideAborted(partition);
      const shown = partition.messages.filter((m) => m.isControlRecord !== true).map(({ offset }) => Number(offset));
      const expected = visible.map(Number).filter((offset) => offset >= from);
      expect(shown).toEqual(expected.sort((a, b) => a - b));
      expect(partition.messages).toHaveLength(Math.max(0, records.length - from));
    }),
  );
});
