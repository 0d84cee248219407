/**
 * Frames as nobody would send them: sound ones, taken apart into their protobuf fields, damaged in structure or in
 * content, and put together again. The same seed gives the same frames.
 */

/** Multiply-with-xorshift generator of 32-bit integers (mulberry32): fast enough for millions of frames. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  uint32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let bits = this.#state;
    bits = Math.imul(bits ^ (bits >>> 15), bits | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return (bits ^ (bits >>> 14)) >>> 0;
  }

  /** In 0 to `bound` - 1. */
  below(bound: number): number {
    return this.uint32() % bound;
  }

  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }
}

/** One protobuf field; `payload` is what follows the tag: a varint, or a length and its bytes. */
interface Field {
  tag: number;
  wireType: number;
  payload: Uint8Array;
}

const EVENTS = 4;
/** Protobuf field numbers of L1Frame (proto/l1_event.proto). */
const FIELD = { encoding: 1, run: 2, eventCount: 5, crossings: 6, deltas: 7, objects: 8, labels: 9, created: 10 };

/** Little-endian base-128; a value of up to 64 bits. */
function varint(value: bigint | number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

const number = (tag: number, value: bigint | number): Field => ({ tag, wireType: 0, payload: varint(value) });
const bytes = (tag: number, content: Uint8Array): Field => ({
  tag,
  wireType: 2,
  payload: joined([varint(content.length), content]),
});
const written = (fields: readonly Field[]): Uint8Array =>
  joined(fields.flatMap(({ tag, wireType, payload }) => [varint(tag * 8 + wireType), payload]));

/** Objects that mostly lie on the grid: a random word or float here and there does not. */
function objects(random: Random, encoding: number): Uint8Array {
  const values = EVENTS * 19 * (encoding === 1 ? 1 : 3);
  const view = new DataView(new ArrayBuffer(values * 4));
  const odd = random.below(3) === 0;
  for (let at = 0; at < values; at++) {
    if (encoding === 1) {
      // pT 100 GeV at eta = phi = 0; MET too
      view.setUint32(at * 4, odd && random.below(20) === 0 ? random.uint32() : 200, true);
    } else {
      const strange = [NaN, Infinity, -Infinity, -1, 1e30, -0, 4, 1e-40, 2 ** 53];
      view.setFloat32(at * 4, odd && random.below(40) === 0 ? random.of(strange) : at % 3 === 0 ? 50 : 0, true);
    }
  }
  return new Uint8Array(view.buffer);
}

function soundFields(random: Random): Field[] {
  const encoding = 1 + random.below(2);
  const crossings = new DataView(new ArrayBuffer(EVENTS * 2));
  for (let event = 0; event < EVENTS; event++) {
    const crossing = random.below(16) === 0 ? random.of([0, 3565, 65535]) : 1 + random.below(3564);
    crossings.setUint16(event * 2, crossing, true);
  }
  const fields = [
    number(FIELD.encoding, encoding),
    number(FIELD.run, random.uint32()),
    number(3, random.below(5000)),
    number(4, random.below(4) === 0 ? 0xffffffff : random.below(1 << 26)),
    number(FIELD.eventCount, EVENTS),
    bytes(FIELD.crossings, new Uint8Array(crossings.buffer)),
    bytes(FIELD.objects, objects(random, encoding)),
    number(FIELD.created, BigInt(random.uint32()) << 30n),
  ];
  if (random.below(2) === 0) fields.push(bytes(FIELD.deltas, Uint8Array.of(0, 0, 0, 0, 1, 0, 255, 255)));
  if (random.below(2) === 0) fields.push(bytes(FIELD.labels, Uint8Array.of(0, 1, 2, 255)));
  return fields;
}

const HUGE = [0n, 3n, 5n, 1n << 15n, (1n << 31n) - 1n, 1n << 31n, (1n << 32n) - 1n, 1n << 32n, (1n << 63n) - 1n, -1n];

type Mutation = (fields: Field[], random: Random) => void;

/** What is done to the fields before they are written. */
const STRUCTURAL: readonly Mutation[] = [
  (fields, random) => fields.splice(random.below(fields.length), 1),
  (fields, random) => fields.push({ ...random.of(fields) }),
  (fields, random) => fields.splice(random.below(fields.length), 0, ...fields.splice(random.below(fields.length), 1)),
  (fields, random) => (random.of(fields).wireType = random.below(8)),
  (fields, random) => (random.of(fields).tag = random.below(2 ** 29)),
  (fields, random) => fields.push(number(random.of([1, 2, 3, 4, 5, 10]), random.of(HUGE))),
  (fields, random) => fields.push(number(FIELD.eventCount, random.of(HUGE))),
  // a length that is not that of the content
  (fields, random) => {
    const field = random.of(fields);
    field.payload = joined([varint(random.of(HUGE)), field.payload.subarray(random.below(field.payload.length))]);
  },
  // varints that never end, or are longer than allowed
  (fields, random) => (random.of(fields).payload = new Uint8Array(1 + random.below(24)).fill(0xff)),
  (fields, random) => fields.push(bytes(random.below(20), new Uint8Array(random.below(600)).fill(random.below(256)))),
  // groups, closed and open, inside one another
  (fields, random) => {
    const depth = 1 + random.below(random.below(50) === 0 ? 20_000 : 20);
    const open = new Uint8Array(depth).fill(0x5b);
    const close = new Uint8Array(random.below(2) === 0 ? depth : random.below(depth)).fill(0x5c);
    fields.push({ tag: 11, wireType: 3, payload: joined([open, close, Uint8Array.of(0x5c)]) });
  },
  (fields, random) => {
    const at = fields.findIndex(({ tag }) => tag === FIELD.objects);
    if (at >= 0) fields[at] = bytes(FIELD.objects, new Uint8Array(random.below(2000)));
  },
];

/** What is done to the bytes. */
function damaged(frame: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  switch (random.below(5)) {
    case 0:
      return frame.subarray(0, random.below(frame.length + 1));
    case 1: {
      for (let flips = 1 + random.below(8); flips > 0 && frame.length > 0; flips--) {
        frame[random.below(frame.length)]! ^= 1 << random.below(8);
      }
      return frame;
    }
    case 2: {
      const at = random.below(frame.length + 1);
      const inserted = Uint8Array.from({ length: 1 + random.below(16) }, () => random.below(256));
      return joined([frame.subarray(0, at), inserted, frame.subarray(at)]);
    }
    case 3:
      return joined([
        frame.subarray(0, random.below(frame.length + 1)),
        other.subarray(random.below(other.length + 1)),
      ]);
    default:
      return Uint8Array.from({ length: random.below(400) }, () => random.below(256));
  }
}

/** The next frame: one in eight as it should be but for its events, the others damaged. */
export function mutatedFrame(random: Random): Uint8Array {
  const fields = soundFields(random);
  const kind = random.below(8);
  if (kind === 0) return written(fields);
  if (kind <= 5) {
    for (let times = 1 + random.below(3); times > 0 && fields.length > 0; times--) {
      random.of(STRUCTURAL)(fields, random);
    }
  }
  const frame = written(fields);
  return kind >= 5 ? damaged(frame, written(soundFields(random)), random) : frame;
}
