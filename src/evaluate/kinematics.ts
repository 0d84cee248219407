/**
 * HT and visible mass of an event on the hardware grid: what a score must not be a stand-in for. Both are whole numbers of
 * pT steps (0.5 GeV), so their distributions can be counted exactly.
 */
import { ETA_LSB, PHI_LSB_RAD } from '../event/hardware-words.js';
import { OBJECT_CLASSES, OBJECTS_PER_EVENT, VALUES_PER_EVENT } from '../event/layout.js';

export const HT_CODES = 65536;
export const MASS_CODES = 65536;

const ETA_RANGE = 512;
const PHI_RANGE = 512;
const SINH = Float64Array.from({ length: 2 * ETA_RANGE }, (_, code) => Math.sinh((code - ETA_RANGE) * ETA_LSB));
const COSH = Float64Array.from({ length: 2 * ETA_RANGE }, (_, code) => Math.cosh((code - ETA_RANGE) * ETA_LSB));
const SIN = Float64Array.from({ length: 2 * PHI_RANGE }, (_, code) => Math.sin((code - PHI_RANGE) * PHI_LSB_RAD));
const COS = Float64Array.from({ length: 2 * PHI_RANGE }, (_, code) => Math.cos((code - PHI_RANGE) * PHI_LSB_RAD));
const JETS = OBJECT_CLASSES.find(({ name }) => name === 'jet')!.first;

/**
 * One word: HT (sum of the jets' pT) in the upper half, the invariant mass of all leptons and jets, taken as massless, in
 * the lower one; both in steps of 0.5 GeV, at most 65535.
 *
 * @param codes - planar codes [events, 57]
 */
export function kinematicsOf(codes: Int16Array, event: number): number {
  const first = event * VALUES_PER_EVENT;
  let ht = 0;
  let energy = 0;
  let x = 0;
  let y = 0;
  let z = 0;
  for (let slot = 1; slot < OBJECTS_PER_EVENT; slot++) {
    const pt = codes[first + slot]!;
    if (pt === 0) continue;
    const eta = codes[first + OBJECTS_PER_EVENT + slot]! + ETA_RANGE;
    const phi = codes[first + 2 * OBJECTS_PER_EVENT + slot]! + PHI_RANGE;
    if (slot >= JETS) ht += pt;
    energy += pt * COSH[eta]!;
    x += pt * COS[phi]!;
    y += pt * SIN[phi]!;
    z += pt * SINH[eta]!;
  }
  const mass = Math.sqrt(Math.max(0, energy * energy - x * x - y * y - z * z));
  return ((Math.min(ht, HT_CODES - 1) << 16) | Math.min(Math.floor(mass + 0.5), MASS_CODES - 1)) >>> 0;
}

export function htOf(kinematics: number): number {
  return kinematics >>> 16;
}

export function massOf(kinematics: number): number {
  return kinematics & 0xffff;
}
