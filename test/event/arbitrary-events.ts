import fc from 'fast-check';

import type { L1Frame } from '#nae/event/frame.js';
import { packCodes, toPhysical } from '#nae/event/hardware-words.js';
import { Encoding, OBJECTS_PER_EVENT, VALUES_PER_EVENT } from '#nae/event/layout.js';

/** pT, eta and phi codes of one object; absent ones are all zero and MET (slot 0) has no eta. */
function objectCodes(slot: number): fc.Arbitrary<readonly [number, number, number]> {
  const present = fc.tuple(
    fc.integer({ min: 1, max: 4095 }),
    slot === 0 ? fc.constant(0) : fc.integer({ min: -511, max: 511 }),
    fc.integer({ min: -288, max: 287 }),
  );
  return fc.oneof({ weight: 1, arbitrary: fc.constant([0, 0, 0] as const) }, { weight: 3, arbitrary: present });
}

/** Planar codes of one sound event. */
const eventCodes: fc.Arbitrary<Int16Array> = fc
  .tuple(...Array.from({ length: OBJECTS_PER_EVENT }, (_, slot) => objectCodes(slot)))
  .map((objects) => Int16Array.from([0, 1, 2].flatMap((value) => objects.map((object) => object[value]!))));

export const eventsCodes = (maxEvents: number): fc.Arbitrary<Int16Array> =>
  fc
    .array(eventCodes, { maxLength: maxEvents })
    .map((events) => Int16Array.from(events.flatMap((codes) => [...codes])));

function objectsOfCodes(codes: Int16Array, encoding: Encoding): Uint8Array {
  const events = codes.length / VALUES_PER_EVENT;
  if (encoding === Encoding.HW32) {
    const words = new Int32Array(events * OBJECTS_PER_EVENT);
    packCodes(codes, events, words);
    return new Uint8Array(words.buffer);
  }
  const values = new Float32Array(codes.length);
  toPhysical(codes, events, values);
  return new Uint8Array(values.buffer);
}

const oneEach = (value: fc.Arbitrary<number>, length: number): fc.Arbitrary<number[]> =>
  fc.array(value, { minLength: length, maxLength: length });
const uint32 = fc.integer({ min: 0, max: 0xffffffff });

/** A sound frame whose events are on the hardware grid. */
export const frame = (maxEvents = 8): fc.Arbitrary<L1Frame> =>
  fc
    .record({
      codes: eventsCodes(maxEvents),
      encoding: fc.constantFrom(Encoding.HW32, Encoding.PHYS32),
      run: uint32,
      luminositySection: uint32,
      orbit: uint32,
      crossings: oneEach(fc.integer({ min: 1, max: 3564 }), maxEvents),
      deltas: fc.option(oneEach(fc.nat(3), maxEvents)),
      labels: fc.option(oneEach(fc.nat(255), maxEvents)),
      createdUnixNs: fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
    })
    .map(({ codes, crossings, deltas, labels, ...rest }) => {
      const eventCount = codes.length / VALUES_PER_EVENT;
      const bytes = (values: number[]): Uint8Array =>
        new Uint8Array(Uint16Array.from(values.slice(0, eventCount)).buffer);
      return {
        encoding: rest.encoding,
        run: rest.run,
        luminositySection: rest.luminositySection,
        orbit: rest.orbit,
        eventCount,
        bunchCrossings: bytes(crossings),
        orbitDeltas: deltas === null ? new Uint8Array() : bytes(deltas.sort((a, b) => a - b)),
        objects: objectsOfCodes(codes, rest.encoding),
        labels: labels === null ? new Uint8Array() : Uint8Array.from(labels.slice(0, eventCount)),
        createdUnixNs: rest.createdUnixNs,
      };
    });

/** Byte fields as plain Uint8Arrays: decoding gives Buffers. */
export function plain(of: L1Frame): L1Frame {
  return {
    ...of,
    bunchCrossings: new Uint8Array(of.bunchCrossings),
    orbitDeltas: new Uint8Array(of.orbitDeltas),
    objects: new Uint8Array(of.objects),
    labels: new Uint8Array(of.labels),
  };
}
