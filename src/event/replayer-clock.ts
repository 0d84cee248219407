import { CROSSINGS_PER_ORBIT, LUMINOSITY_SECTION_ORBIT_BITS } from './layout.js';

/**
 * Gives identities to events that have none: one run, every bunch crossing of every orbit filled in order, and the
 * luminosity section that the orbit belongs to.
 */
export class ReplayerClock {
  readonly run: number;
  #orbit: number;
  #bunchCrossing = 1;

  /** @param firstOrbit - orbit of the first event, 0 or more */
  constructor(run: number, firstOrbit = 0) {
    this.run = run;
    this.#orbit = firstOrbit;
  }

  get orbit(): number {
    return this.#orbit;
  }

  /** 1..3564 */
  get bunchCrossing(): number {
    return this.#bunchCrossing;
  }

  get luminositySection(): number {
    return this.#orbit >>> LUMINOSITY_SECTION_ORBIT_BITS;
  }

  /** Go on to the next bunch crossing. */
  advance(): void {
    if (this.#bunchCrossing < CROSSINGS_PER_ORBIT) {
      this.#bunchCrossing++;
    } else {
      this.#bunchCrossing = 1;
      this.#orbit++;
    }
  }
}
