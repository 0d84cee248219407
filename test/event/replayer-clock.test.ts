import { describe, expect, it } from 'vitest';

import { ReplayerClock } from '#nae/event/replayer-clock.js';

describe('the replayer clock', () => {
  it('fills the crossings 1..3564 of every orbit in order', () => {
    const clock = new ReplayerClock(7);
    const seen: string[] = [];
    for (let event = 0; event < 3566; event++) {
      seen.push(`${clock.orbit}/${clock.bunchCrossing}`);
      clock.advance();
    }
    expect([seen[0], seen[1], seen[3563], seen[3564], seen[3565]]).toEqual(['0/1', '0/2', '0/3564', '1/1', '1/2']);
    expect(new Set(seen).size).toBe(3566);
    expect(clock.run).toBe(7);
  });

  it('begins a luminosity section every 2^18 orbits', () => {
    const clock = new ReplayerClock(1, 2 ** 18 - 1);
    expect(clock.luminositySection).toBe(0);
    for (let event = 0; event < 3564; event++) clock.advance();
    expect([clock.orbit, clock.luminositySection, clock.bunchCrossing]).toEqual([2 ** 18, 1, 1]);
    expect(new ReplayerClock(1, 0xffffffff).luminositySection).toBe(2 ** 14 - 1);
  });
});
