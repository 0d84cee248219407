/**
 * The event: 19 objects in a fixed order (slot 0 MET, 1-4 electrons, 5-8 muons, 9-18 jets), each class sorted
 * by falling pT; an absent object is all-zero. The layout of the ADC2021 data (Govorkova et al., 2107.02157)
 * and of the CMS AXOL1TL inputs.
 */
export const OBJECTS_PER_EVENT = 19;

/** pT, eta and phi of every object. */
export const VALUES_PER_EVENT = 3 * OBJECTS_PER_EVENT;

export const OBJECT_CLASSES = [
  { name: 'met', first: 0, count: 1 },
  { name: 'electron', first: 1, count: 4 },
  { name: 'muon', first: 5, count: 4 },
  { name: 'jet', first: 9, count: 10 },
] as const;

/** Bunch crossings of an LHC orbit; they are numbered from 1, as in CMSSW's OrbitCollection. */
export const CROSSINGS_PER_ORBIT = 3564;

/** Whether a bunch crossing number is one of the orbit's. */
export function isBunchCrossing(crossing: number): boolean {
  return crossing >= 1 && crossing <= CROSSINGS_PER_ORBIT;
}

/** Orbits are uint32 on the wire. */
export const ORBIT_MAX = 0xffffffff;

/** Bunch crossings per second: 40.08 MHz (LHC Design Report, CERN-2004-003). */
export const CROSSING_RATE_HZ = 40.08e6;

/** Orbits of a luminosity section: 2^18, about 23.3 s. */
export const LUMINOSITY_SECTION_ORBIT_BITS = 18;

/** Encodings of an event's objects, with the numbers the wire format gives them. */
export const Encoding = { HW32: 1, PHYS32: 2 } as const;
export type Encoding = (typeof Encoding)[keyof typeof Encoding];

export const HW32_BYTES = 4 * OBJECTS_PER_EVENT;
export const PHYS32_BYTES = 4 * VALUES_PER_EVENT;

/** Bytes that one event's objects take in an encoding. */
export function bytesPerEvent(encoding: Encoding): number {
  return encoding === Encoding.HW32 ? HW32_BYTES : PHYS32_BYTES;
}

export function encodingName(encoding: Encoding): 'HW32' | 'PHYS32' {
  return encoding === Encoding.HW32 ? 'HW32' : 'PHYS32';
}
