/**
 * What the single steps cost: decoding a frame, unpacking, scoring (bare onnxruntime at several batch sizes), deciding.
 *
 *   npm run bench:micro -- [--time MS] [--json FILE]
 *
 * `ns_per_event` is the median over the calls of `--time` milliseconds per step; `memcpy` is the limit of anything
 * that moves an event's words.
 */
import { BareRuntime, BATCH_SIZES } from '#nae/benchmark/bare-runtime.js';
import { decodeFrame, encodeFrame } from '#nae/event/frame.js';
import { unpackWords } from '#nae/event/hardware-words.js';
import { OBJECTS_PER_EVENT, VALUES_PER_EVENT } from '#nae/event/layout.js';
import { WordUnpacker } from '#nae/event/word-unpacker.js';
import { Decider } from '#nae/score/worker/decide.js';
import { Bench } from 'tinybench';

import { benchArguments, report } from './report.js';
import { distinctCodes, FRAME_EVENTS, frames, shippedBundles } from './workload.js';

const settings = benchArguments({ time: 1000 });
const codes = distinctCodes();
const frame = [...frames(codes, FRAME_EVENTS)][0]!;
const bytes = encodeFrame(frame);
// A slot is shared memory.
const words = new Int32Array(new SharedArrayBuffer(frame.objects.length));
words.set(new Int32Array(frame.objects.buffer));
const copy = new Int32Array(words.length);
const unpacker = new WordUnpacker(FRAME_EVENTS);
const plainCodes = new Int16Array(FRAME_EVENTS * VALUES_PER_EVENT);
const faults = new Uint8Array(FRAME_EVENTS);

const bench = new Bench({ time: settings.numbers.time, warmupTime: 200 });
/** Events that one call of each step handles. */
const eventsOf = new Map<string, number>();
function step(name: string, events: number, work: () => unknown): void {
  eventsOf.set(name, events);
  bench.add(name, work);
}

step('memcpy of the words', FRAME_EVENTS, () => {
  copy.set(words);
});
step('decode frame', FRAME_EVENTS, () => decodeFrame(bytes));
step('unpack', FRAME_EVENTS, () => unpacker.unpack(words));
step('unpack, plain definition', FRAME_EVENTS, () =>
  unpackWords(copy, copy.length / OBJECTS_PER_EVENT, plainCodes, faults),
);

for (const { name, bundle } of await shippedBundles()) {
  for (const rows of BATCH_SIZES) {
    const runtime = await BareRuntime.create(bundle, codes, rows);
    eventsOf.set(`score ${name}, batches of ${rows}`, FRAME_EVENTS);
    bench.add(`score ${name}, batches of ${rows}`, () => runtime.run(FRAME_EVENTS));
  }
  const runtime = await BareRuntime.create(bundle, codes, FRAME_EVENTS);
  const threshold = await runtime.threshold();
  const decider = new Decider([{ scores: runtime.scores.slice(0, FRAME_EVENTS), threshold }], FRAME_EVENTS);
  faults.fill(0);
  step(`decide ${name}`, FRAME_EVENTS, () => {
    decider.decide(FRAME_EVENTS, faults, 0, { accepted: [], faulty: [] });
  });
}

await bench.run();
const rows = bench.tasks.map(({ name, result }) => {
  if (result.state !== 'completed') throw new Error(`${name}: ${result.state}`);
  const nanoseconds = (result.latency.p50 * 1e6) / eventsOf.get(name)!;
  return { step: name, ns_per_event: nanoseconds, events_per_second: 1e9 / nanoseconds };
});
report('micro', settings, rows);
