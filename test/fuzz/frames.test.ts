/**
 * Frames from nobody one trusts, through everything that looks at them before a model does. `npm run test:fuzz`
 * takes a million; among the unit tests it is a small part of the same sequence.
 */
import { expect, it } from 'vitest';

import { decodeFrame, encodeFrame, isFrameFault, singleEventFrame, type L1Frame } from '#nae/event/frame.js';
import { EVENT_FAULTS, quantise, unpackWords } from '#nae/event/hardware-words.js';
import { bytesPerEvent, Encoding, VALUES_PER_EVENT } from '#nae/event/layout.js';
import { WordUnpacker } from '#nae/event/word-unpacker.js';

import { mutatedFrame, Random } from './mutated-frames.js';

const FRAMES = Number(process.env.FUZZ_FRAMES ?? 20_000);
const SEED = Number(process.env.FUZZ_SEED ?? 1);
/** Far more than any mutation makes; what a frame claims must not decide what is allocated. */
const MAX_EVENTS = 1024;
const MAX_GROWTH_BYTES = 128 * 1024 * 1024;

const unpacker = new WordUnpacker(MAX_EVENTS);
const codes = new Int16Array(MAX_EVENTS * VALUES_PER_EVENT);
const faults = new Uint8Array(MAX_EVENTS);

/** `expect` takes longer than what it is asked about: too long for a million frames. */
function demand(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(`a mutated frame gives ${otherwise}`);
}

function same(one: ArrayBufferView, other: ArrayBufferView): boolean {
  const bytesOf = (view: ArrayBufferView): Buffer => Buffer.from(view.buffer, view.byteOffset, view.byteLength);
  return bytesOf(one).equals(bytesOf(other));
}

/** Field by field, bytes by content. */
function sameFrame(one: L1Frame, other: L1Frame): boolean {
  return (Object.keys(one) as (keyof L1Frame)[]).every((field) => {
    const [a, b] = [one[field], other[field]];
    return typeof a === 'object' && typeof b === 'object' ? same(a, b) : a === b;
  });
}

/** The fault codes of all events; on the hardware words, by both implementations. */
function eventFaults(frame: L1Frame): Uint8Array {
  const { eventCount, encoding } = frame;
  const objects = frame.objects.slice().buffer;
  if (encoding === Encoding.PHYS32) {
    quantise(new Float32Array(objects), eventCount, codes, faults);
  } else {
    const words = new Int32Array(objects);
    unpackWords(words, eventCount, codes, faults);
    unpacker.unpack(frame.objects);
    demand(same(unpacker.faults.subarray(0, eventCount), faults.subarray(0, eventCount)), 'two lists of faults');
    const values = eventCount * VALUES_PER_EVENT;
    demand(same(unpacker.codes.subarray(0, values), codes.subarray(0, values)), 'two sets of codes');
  }
  return faults.subarray(0, eventCount);
}

/** What becomes of one frame: the reason of its fault, or of its first event's, or 'sound'. */
function classify(bytes: Uint8Array): string {
  const outcome = decodeFrame(bytes, { maxFrameBytes: 64 * 1024 });
  if (isFrameFault(outcome)) {
    demand(outcome.detail !== '', 'a fault without a detail');
    return outcome.reason;
  }
  const eventBytes = bytesPerEvent(outcome.encoding);
  demand(outcome.eventCount <= MAX_EVENTS, `${outcome.eventCount} events of ${bytes.length} bytes`);
  demand(outcome.objects.length === outcome.eventCount * eventBytes, 'objects that are not those of its events');
  const again = decodeFrame(encodeFrame(outcome));
  demand(!isFrameFault(again) && sameFrame(again, outcome), 'another frame when it is encoded again');
  const found = eventFaults(outcome);
  const first = found.findIndex((code) => code !== 0);
  if (first < 0) return 'sound';
  const letter = decodeFrame(encodeFrame(singleEventFrame(outcome, first)));
  demand(!isFrameFault(letter) && letter.eventCount === 1, 'a dead letter that cannot be read');
  return `event ${EVENT_FAULTS[found[first]!]!}`;
}

it(`are each classified: ${FRAMES} mutated frames`, () => {
  const random = new Random(SEED);
  const classes = new Map<string, number>();
  let slowestMs = 0;
  let bytes = 0;
  classify(mutatedFrame(new Random(SEED + 1)));
  const held = (): number => {
    globalThis.gc?.();
    return process.memoryUsage.rss();
  };
  const start = performance.now();
  const heldAtFirst = held();
  let most = heldAtFirst;
  for (let number = 0; number < FRAMES; number++) {
    const frame = mutatedFrame(random);
    bytes += frame.length;
    const began = performance.now();
    const kind = classify(frame);
    slowestMs = Math.max(slowestMs, performance.now() - began);
    classes.set(kind, (classes.get(kind) ?? 0) + 1);
    if (number % 10_000 === 0) most = Math.max(most, held());
  }
  const seconds = (performance.now() - start) / 1000;
  console.log(
    JSON.stringify({
      frames: FRAMES,
      seed: SEED,
      bytes,
      seconds: Math.round(seconds),
      slowestMs: Math.round(slowestMs),
      rssGrowthMiB: Math.round((most - heldAtFirst) / 2 ** 20),
      classes: Object.fromEntries([...classes].sort(([, a], [, b]) => b - a)),
    }),
  );
  expect([...classes.values()].reduce((sum, count) => sum + count, 0)).toBe(FRAMES);
  // The mutations reach every reason there is for these frames, and leave some sound.
  const expected = ['sound', 'empty-message', 'not-protobuf', 'unknown-encoding', 'length-mismatch'];
  for (const kind of expected) expect(classes.get(kind), kind).toBeGreaterThan(0);
  expect([...classes.keys()].filter((kind) => kind.startsWith('event ')).length).toBeGreaterThanOrEqual(4);
  expect(most - heldAtFirst).toBeLessThan(MAX_GROWTH_BYTES);
});
