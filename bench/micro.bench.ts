/**
 * What the single steps cost: decoding a frame, unpacking, scoring (bare onnxruntime at several batch sizes), deciding,
 * handing a task over to a worker and back, and sending frames and accepted events to a broker of its own.
 *
 *   npm run bench:micro -- [--time MS] [--json FILE]
 *
 * `ns_per_event` is the median over the calls of `--time` milliseconds per step, wall-clock time; `memcpy` is the limit
 * of anything that moves an event's words. A task carries as many events as it does by default; accepted events go in
 * deliveries of 100.
 */
import { BareRuntime, BATCH_SIZES } from '#nae/benchmark/bare-runtime.js';
import { defaultSettings } from '#nae/benchmark/default-settings.js';
import { startLocalBroker } from '#nae/broker/local-broker.js';
import type { AcceptedEvent } from '#nae/event/accepted-event.js';
import { bunchCrossingOf, decodeFrame, encodeFrame, objectsOf, orbitOf } from '#nae/event/frame.js';
import { unpackWords } from '#nae/event/hardware-words.js';
import { OBJECTS_PER_EVENT, VALUES_PER_EVENT } from '#nae/event/layout.js';
import { WordUnpacker } from '#nae/event/word-unpacker.js';
import { FrameProducer } from '#nae/replay/frame-producer.js';
import { ScorePool } from '#nae/score/score-pool.js';
import { Decider } from '#nae/score/worker/decide.js';
import { openKafkaSink } from '#nae/sink/kafka-sink.js';
import { silentLogger } from '#nae/telemetry/logger.js';
import { Bench } from 'tinybench';

import { benchArguments, report } from './report.js';
import { distinctCodes, FRAME_EVENTS, frames, shippedBundles, type SizedBundle } from './workload.js';

const TOPIC = 'l1.frames';
const FRAMES_SENT = 16;
const DELIVERY_EVENTS = 100;

const settings = benchArguments({ time: 1000 });
const codes = distinctCodes();
const frame = [...frames(codes, FRAME_EVENTS)][0]!;
const bytes = encodeFrame(frame);
// A slot is shared memory.
const words = new Int32Array(new SharedArrayBuffer(frame.objects.length));
words.set(new Int32Array(frame.objects.buffer));
const wire = new Uint8Array(words.buffer);
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
step('unpack', FRAME_EVENTS, () => unpacker.unpack(wire));
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

const { batchEvents, inferenceRows } = defaultSettings();
const [{ name: smallest, bundle: smallestBundle }] = (await shippedBundles()) as [SizedBundle];
const pool = await ScorePool.start({
  paths: [{ name: smallest, bundle: smallestBundle, threshold: 1 }],
  workers: 1,
  device: { kind: 'cpu' },
  quantisation: 'hw32',
  batchEvents,
  inferenceRows,
});
// A task without events: there and back, and nothing in between.
step('hand over a task', batchEvents, () => pool.score({ slot: 0, events: 0, encoding: frame.encoding, pieces: [] }));

const log = silentLogger();
const broker = await startLocalBroker({ log, topics: [{ name: TOPIC, partitions: 1 }] });
const producer = await FrameProducer.open({ connection: broker, topic: TOPIC, log });
step('send frames', FRAMES_SENT * FRAME_EVENTS, async () => {
  for (let orbit = 0; orbit < FRAMES_SENT; orbit++) await producer.send({ run: 1, orbit, bytes });
  await producer.flush();
});
const sink = await openKafkaSink({ connection: broker, topic: 'l1.accepted', deadLetterTopic: 'l1.dead-letter', log });
const accepted = Array.from({ length: DELIVERY_EVENTS }, (_, index) => acceptedEvent(index));
step('send accepted events', DELIVERY_EVENTS, () => sink.write({ accepted, deadLetters: [] }));

await bench.run();
await sink.close();
await producer.close();
await broker.stop();
await pool.close();

function acceptedEvent(index: number): AcceptedEvent {
  return {
    run: frame.run,
    luminositySection: frame.luminositySection,
    orbit: orbitOf(frame, index),
    bunchCrossing: bunchCrossingOf(frame, index),
    encoding: frame.encoding,
    objects: objectsOf(frame, index),
    paths: [{ path: smallest, model: smallest, modelSha256: smallestBundle.manifest.sha256, score: 2, threshold: 1 }],
    position: { source: TOPIC, partition: 0, offset: BigInt(index) },
    index,
    label: undefined,
  };
}

const rows = bench.tasks.map(({ name, result }) => {
  if (result.state !== 'completed') throw new Error(`${name}: ${result.state}`);
  const nanoseconds = (result.latency.p50 * 1e6) / eventsOf.get(name)!;
  return { step: name, ns_per_event: nanoseconds, events_per_second: 1e9 / nanoseconds };
});
report('micro', settings, rows);
