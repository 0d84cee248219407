import { existsSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { groupSizes } from '#nae/sample/group-sizes.js';
import { groupHashes, nameHash, PoissonWeights } from '#nae/sample/poisson-weights.js';
import { ROW } from '#nae/sample/scored-sample.js';
import { byDescendingScore, RowSorter, scoreOfKey, SORTED } from '#nae/sample/sorted.js';

import { sampleOf } from '../evaluate/samples.js';
import { seeded } from '../pipeline/events.js';

describe('a sample on disk', () => {
  it('comes back from the highest score down, through many runs and merges', () => {
    const random = seeded(2);
    const scores = Float32Array.from({ length: 600_000 }, () => random(1 << 22) - 2 ** 21 + random(8) / 8);
    scores[17] = -0;
    const sample = sampleOf(1, [{ name: '', scores }]);
    const sorted: number[] = [];
    for (const { words, at } of byDescendingScore(sample, (floats, row) => floats[row + ROW.scores]!)) {
      sorted.push(scoreOfKey(words[at + SORTED.key]!));
    }
    expect(Float32Array.from(sorted)).toEqual(
      scores
        .map((score) => score + 0)
        .sort()
        .reverse(),
    );
    const { folder } = sample;
    sample.close();
    expect(existsSync(folder)).toBe(false);
  });

  it('knows the sizes of groups that are spread over it', () => {
    const groups = Array.from({ length: 30_000 }, (_, event) => (event % 10_000 < 5000 ? event % 10_000 : event));
    const sample = sampleOf(1, [
      { name: '', scores: new Float32Array(30_000), groups },
      { name: 's', scores: new Float32Array(7), groups: [1, 1, 2 ** 40, 2 ** 40, 2 ** 40, 2 ** 40 + 1, -1] },
    ]);
    const counts = new Map<number, number>();
    for (const size of groupSizes(sample, 0)) counts.set(size, (counts.get(size) ?? 0) + 1);
    expect(counts).toEqual(new Map([[3, 5000], [1, 15_000]])); // prettier-ignore
    expect(Array.from(groupSizes(sample, 1)).sort()).toEqual([1, 1, 2, 3]);
    sample.close();
  });

  it('keeps rows whole while sorting', () => {
    const sample = sampleOf(1, [{ name: '', scores: new Float32Array(1) }]);
    const sorter = new RowSorter(sample.folder);
    for (let row = 0; row < 300_000; row++) sorter.add((row * 7919) % 300_007, row, row + 1, row + 2);
    let previous = -1;
    for (const { words, at } of sorter.ascending()) {
      const [key, group, kinematics, tag] = words.subarray(at, at + SORTED.words) as unknown as number[];
      if (key! <= previous) throw new Error(`key ${key!} after ${previous}`);
      if ((group! * 7919) % 300_007 !== key || kinematics !== group! + 1 || tag !== group! + 2) {
        throw new Error(`row ${group!} was torn`);
      }
      previous = key!;
    }
    sample.close();
  });
});

describe('bootstrap weights', () => {
  it('are Poisson(1), the same for a group, independent between groups and replicas', () => {
    const replicas = 100;
    const weights = new PoissonWeights(replicas, 1);
    const drawn = new Uint8Array(replicas + 1);
    const counts = new Array<number>(9).fill(0);
    let neighbours = 0;
    let previous = new Uint8Array(replicas + 1);
    for (let group = 0; group < 5000; group++) {
      const [hash] = groupHashes(nameHash(''), group);
      weights.fill(hash, drawn);
      expect(drawn[replicas]).toBe(1);
      for (let replica = 0; replica < replicas; replica++) {
        counts[drawn[replica]!]!++;
        neighbours += (drawn[replica]! - 1) * (previous[replica]! - 1);
        if (replica > 0) neighbours += (drawn[replica]! - 1) * (drawn[replica - 1]! - 1);
      }
      previous = drawn.slice();
    }
    const all = 5000 * replicas;
    let expected = Math.exp(-1);
    for (let weight = 0; weight < 6; weight++) {
      expect(Math.abs(counts[weight]! - expected * all)).toBeLessThan(4.5 * Math.sqrt(expected * all));
      expected /= weight + 1;
    }
    expect(Math.abs(neighbours)).toBeLessThan(4.5 * Math.sqrt(2 * all));
  });
});
