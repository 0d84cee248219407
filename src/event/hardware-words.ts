/**
 * The hardware grid: the only place that knows an LSB. HW32 words hold pT in bits 0-11 (unsigned), eta in bits
 * 12-21 and phi in bits 22-31 (two's complement), with the scales of the CMS L1 muon trigger (pT 0.5 GeV,
 * eta 0.010875, phi 2*pi/576), of which the calorimeter scales 0.0435 and 2*pi/144 are multiples.
 *
 * Models see planar codes: int16 per event, 19 pT codes, 19 eta codes, 19 phi codes (`hw-int16-planar`).
 */
import { OBJECTS_PER_EVENT, VALUES_PER_EVENT } from './layout.js';

export const PT_LSB_GEV = 0.5;
export const ETA_LSB = 0.010875;
export const PHI_LSB_RAD = (2 * Math.PI) / 576;

/** Overflow code: 2047.5 GeV or more. */
const PT_CODE_MAX = 4095;
const ETA_CODE_MAX = 511;
const PHI_CODE_MIN = -288;
const PHI_CODE_MAX = 287;

/**
 * Why a single event cannot be decided. The index in this list is what the scoring workers report; 0 is "sound".
 */
export const EVENT_FAULTS = [
  'none',
  'value-not-finite',
  'pt-out-of-range',
  'eta-out-of-range',
  'phi-out-of-range',
  'absent-object-not-zero',
  'met-eta-not-zero',
  'crossing-out-of-range',
  'orbit-out-of-range',
  'score-not-finite',
] as const;
export type EventFaultReason = Exclude<(typeof EVENT_FAULTS)[number], 'none'>;

/** Number of an event fault in {@link EVENT_FAULTS}. */
export function eventFaultCode(reason: EventFaultReason): number {
  return EVENT_FAULTS.indexOf(reason);
}

const FAULT = {
  notFinite: eventFaultCode('value-not-finite'),
  pt: eventFaultCode('pt-out-of-range'),
  eta: eventFaultCode('eta-out-of-range'),
  phi: eventFaultCode('phi-out-of-range'),
  absent: eventFaultCode('absent-object-not-zero'),
  metEta: eventFaultCode('met-eta-not-zero'),
} as const;

// Half up, in double precision: the same float gives the same code as in models/l1models/layout.py.
function nearest(value: number, lsb: number): number {
  return Math.floor(value / lsb + 0.5);
}

/** Pack one object's codes into a word (signed 32-bit view of it); codes must be in range. */
export function packWord(pt: number, eta: number, phi: number): number {
  return (pt & 0xfff) | ((eta & 0x3ff) << 12) | ((phi & 0x3ff) << 22);
}

function ptCode(word: number): number {
  return word & 0xfff;
}

function etaCode(word: number): number {
  return (word << 10) >> 22;
}

function phiCode(word: number): number {
  return word >> 22;
}

/**
 * Unpack events from HW32 words into planar codes. This is the definition, and fast enough for recordings;
 * word-unpacker.ts does the same at the speed that the scoring workers need.
 *
 * @param words - signed view of the words, 19 per event
 * @param codes - receives int16 [events, 57]; the rows of faulty events are set to zero
 * @param faults - receives one fault code per event (see {@link EVENT_FAULTS})
 * @returns how many events are faulty
 */
export function unpackWords(words: Int32Array, events: number, codes: Int16Array, faults: Uint8Array): number {
  let faulty = 0;
  let at = 0;
  let row = 0;
  for (let event = 0; event < events; event++) {
    let bad = etaCode(words[at]!); // MET has no eta
    for (let slot = 0; slot < OBJECTS_PER_EVENT; slot++) {
      const word = words[at + slot]!;
      const pt = word & 0xfff;
      const eta = (word << 10) >> 22;
      const phi = word >> 22;
      codes[row + slot] = pt;
      codes[row + OBJECTS_PER_EVENT + slot] = eta;
      codes[row + 2 * OBJECTS_PER_EVENT + slot] = phi;
      if (eta === -512 || phi < PHI_CODE_MIN || phi > PHI_CODE_MAX || (pt === 0 && word !== 0)) bad = 1;
    }
    faults[event] = 0;
    if (bad !== 0) {
      faults[event] = faultOfWords(words, at);
      codes.fill(0, row, row + VALUES_PER_EVENT);
      faulty++;
    }
    at += OBJECTS_PER_EVENT;
    row += VALUES_PER_EVENT;
  }
  return faulty;
}

/** Fault code of an event that is known to have one; its 19 words start at index `at`. */
export function faultOfWords(words: Int32Array, at: number): number {
  for (let slot = 0; slot < OBJECTS_PER_EVENT; slot++) {
    const word = words[at + slot]!;
    if (ptCode(word) === 0 && word !== 0) return FAULT.absent;
    if (etaCode(word) === -512) return FAULT.eta;
    if (phiCode(word) < PHI_CODE_MIN || phiCode(word) > PHI_CODE_MAX) return FAULT.phi;
  }
  return FAULT.metEta;
}

/**
 * Round events of physical values onto the grid.
 *
 * pT saturates at code 4095; a pT that rounds to code 0 makes its object absent; phi that rounds to +288 wraps
 * to -288. Not finite values, negative pT, |eta| or |phi| beyond the grid and a MET with eta are faults.
 *
 * @param values - float32, 57 per event: pT [GeV], eta, phi [rad] of each object in turn
 * @param codes - receives int16 [events, 57] planar codes; the rows of faulty events are set to zero
 * @param faults - receives one fault code per event
 * @returns how many events are faulty
 */
export function quantise(values: Float32Array, events: number, codes: Int16Array, faults: Uint8Array): number {
  let faulty = 0;
  let row = 0;
  for (let event = 0; event < events; event++) {
    let fault = 0;
    for (let slot = 0; slot < OBJECTS_PER_EVENT; slot++) {
      const pt = values[row + 3 * slot]!;
      const eta = values[row + 3 * slot + 1]!;
      const phi = values[row + 3 * slot + 2]!;
      let ptBin = nearest(pt, PT_LSB_GEV);
      let etaBin = nearest(eta, ETA_LSB);
      let phiBin = nearest(phi, PHI_LSB_RAD);
      // x - x is NaN for infinities and NaN alike
      if (pt - pt + (eta - eta) + (phi - phi) !== 0) fault ||= FAULT.notFinite;
      else if (pt < 0) fault ||= FAULT.pt;
      else if (ptBin === 0) {
        etaBin = 0;
        phiBin = 0;
      } else if (etaBin < -ETA_CODE_MAX || etaBin > ETA_CODE_MAX) fault ||= FAULT.eta;
      else if (slot === 0 && etaBin !== 0) fault ||= FAULT.metEta;
      else if (phiBin < PHI_CODE_MIN || phiBin > -PHI_CODE_MIN) fault ||= FAULT.phi;
      if (ptBin > PT_CODE_MAX) ptBin = PT_CODE_MAX;
      if (phiBin === -PHI_CODE_MIN) phiBin = PHI_CODE_MIN;
      codes[row + slot] = ptBin;
      codes[row + OBJECTS_PER_EVENT + slot] = etaBin;
      codes[row + 2 * OBJECTS_PER_EVENT + slot] = phiBin;
    }
    faults[event] = fault;
    if (fault !== 0) {
      codes.fill(0, row, row + VALUES_PER_EVENT);
      faulty++;
    }
    row += VALUES_PER_EVENT;
  }
  return faulty;
}

/** Pack planar codes [events, 57] into HW32 words, 19 per event. */
export function packCodes(codes: Int16Array, events: number, words: Int32Array): void {
  for (let event = 0; event < events; event++) {
    const row = event * VALUES_PER_EVENT;
    for (let slot = 0; slot < OBJECTS_PER_EVENT; slot++) {
      words[event * OBJECTS_PER_EVENT + slot] = packWord(
        codes[row + slot]!,
        codes[row + OBJECTS_PER_EVENT + slot]!,
        codes[row + 2 * OBJECTS_PER_EVENT + slot]!,
      );
    }
  }
}

/** Planar codes [events, 57] as physical values [events, 57], object by object: pT [GeV], eta, phi [rad]. */
export function toPhysical(codes: Int16Array, events: number, values: Float32Array): void {
  for (let event = 0; event < events; event++) {
    const row = event * VALUES_PER_EVENT;
    for (let slot = 0; slot < OBJECTS_PER_EVENT; slot++) {
      values[row + 3 * slot] = codes[row + slot]! * PT_LSB_GEV;
      values[row + 3 * slot + 1] = codes[row + OBJECTS_PER_EVENT + slot]! * ETA_LSB;
      values[row + 3 * slot + 2] = codes[row + 2 * OBJECTS_PER_EVENT + slot]! * PHI_LSB_RAD;
    }
  }
}
