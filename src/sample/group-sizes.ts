import { CLASS_MASK, ROW, type ScoredSample } from './scored-sample.js';
import { RowSorter, SORTED } from './sorted.js';

/** Sizes of the groups of a class, one after the other: a sort, so memory does not grow with the groups. */
export function* groupSizes(sample: ScoredSample, classNumber: number): Generator<number, undefined> {
  const sorter = new RowSorter(sample.folder);
  for (const { count, words } of sample.blocks()) {
    for (let event = 0; event < count; event++) {
      const row = event * sample.stride;
      if ((words[row + ROW.tag]! & CLASS_MASK) !== classNumber) continue;
      sorter.add(words[row + ROW.group]!, words[row + ROW.groupCheck]!, 0, 0);
    }
  }
  // Groups that share the first hash are told apart by the second.
  const sizes = new Map<number, number>();
  let current: number | undefined;
  for (const { words, at } of sorter.ascending()) {
    if (words[at + SORTED.key] !== current) {
      yield* sizes.values();
      sizes.clear();
      current = words[at + SORTED.key]!;
    }
    const check = words[at + SORTED.group]!;
    sizes.set(check, (sizes.get(check) ?? 0) + 1);
  }
  yield* sizes.values();
}
