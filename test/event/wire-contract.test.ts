import { readFileSync } from 'node:fs';

import fc from 'fast-check';
import Long from 'long';
import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';

import { decodeAcceptedEvent, encodeAcceptedEvent, type AcceptedEvent } from '#nae/event/accepted-event.js';
import { decodeFrame, encodeFrame, isFrameFault } from '#nae/event/frame.js';
import { Encoding } from '#nae/event/layout.js';

import { frame, plain } from './arbitrary-events.js';

// The schema as any other program sees it: parsed from the file, not from the generated code.
const { root } = protobuf.parse(readFileSync(new URL('../../proto/l1_event.proto', import.meta.url), 'utf8'));
const schema = (name: string): protobuf.Type => root.lookupType(`l1trigger.v1.${name}`);
const long = (value: bigint): Long => Long.fromString(value.toString());

const uint32 = fc.integer({ min: 0, max: 0xffffffff });
const float32 = fc.float({ noNaN: true });
const acceptedEvent: fc.Arbitrary<AcceptedEvent> = fc.record({
  run: uint32,
  luminositySection: uint32,
  orbit: uint32,
  bunchCrossing: fc.integer({ min: 1, max: 3564 }),
  encoding: fc.constantFrom(Encoding.HW32, Encoding.PHYS32),
  objects: fc.uint8Array({ maxLength: 228 }),
  paths: fc.array(
    fc.record({ path: fc.string(), model: fc.string(), modelSha256: fc.string(), score: float32, threshold: float32 }),
    { maxLength: 3 },
  ),
  position: fc.record({
    source: fc.string(),
    partition: fc.integer(),
    offset: fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
  }),
  index: uint32,
  label: fc.option(uint32, { nil: undefined }),
});

describe('the wire contract', () => {
  it('numbers the fields of L1Frame as published', () => {
    const numbers = Object.fromEntries(
      schema('L1Frame').fieldsArray.map(({ name, id, type }) => [name, `${type} ${id}`]),
    );
    expect(numbers).toEqual({
      encoding: 'Encoding 1',
      run: 'uint32 2',
      luminositySection: 'uint32 3',
      orbit: 'uint32 4',
      eventCount: 'uint32 5',
      bunchCrossings: 'bytes 6',
      orbitDeltas: 'bytes 7',
      objects: 'bytes 8',
      labels: 'bytes 9',
      createdUnixNs: 'int64 10',
    });
  });

  it('holds for frames both ways', () => {
    fc.assert(
      fc.property(frame(), (original) => {
        const wire = { ...original, createdUnixNs: long(original.createdUnixNs) };
        const type = schema('L1Frame');
        const fromSchema = decodeFrame(type.encode(type.create(wire)).finish());
        if (isFrameFault(fromSchema)) throw new Error(fromSchema.detail);
        expect(plain(fromSchema)).toEqual(original);

        const read = type.toObject(type.decode(encodeFrame(original)), { longs: String, defaults: true });
        expect(read).toMatchObject({
          encoding: original.encoding,
          run: original.run,
          luminositySection: original.luminositySection,
          orbit: original.orbit,
          eventCount: original.eventCount,
          createdUnixNs: original.createdUnixNs.toString(),
        });
        for (const name of ['bunchCrossings', 'orbitDeltas', 'objects', 'labels'] as const) {
          expect(Uint8Array.from(read[name] as Uint8Array)).toEqual(original[name]);
        }
      }),
    );
  });

  it('holds for accepted events both ways', () => {
    const type = schema('AcceptedEvent');
    fc.assert(
      fc.property(acceptedEvent, (original) => {
        const bytes = encodeAcceptedEvent(original);
        const back = decodeAcceptedEvent(bytes);
        expect({ ...back, objects: new Uint8Array(back.objects) }).toEqual(original);

        const read = type.toObject(type.decode(bytes), { longs: String, defaults: true, arrays: true });
        expect(read).toMatchObject({
          bunchCrossing: original.bunchCrossing,
          paths: original.paths,
          source: {
            source: original.position.source,
            partition: original.position.partition,
            offset: original.position.offset.toString(),
            index: original.index,
          },
        });
        expect('label' in type.decode(bytes) && Object.hasOwn(type.decode(bytes), 'label')).toBe(
          original.label !== undefined,
        );
      }),
    );
  });

  it('tells an event of label 0 from one without', () => {
    const [sample] = fc.sample(acceptedEvent, 1);
    expect(decodeAcceptedEvent(encodeAcceptedEvent({ ...sample!, label: 0 })).label).toBe(0);
    expect(decodeAcceptedEvent(encodeAcceptedEvent({ ...sample!, label: undefined })).label).toBeUndefined();
  });
});
