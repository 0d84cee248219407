/**
 * Checksums for the ledger, over a frame's bytes: what each costs for frames of several sizes, against what scoring
 * such a frame takes.
 *
 *   npm run bench:digest -- [--time MS] [--json FILE]
 *
 * `us` is the median over the calls of `--time` milliseconds; `of_m` and `of_s` its part of the CPU time in which bare
 * onnxruntime scores the frame's events with the medium and the small bundle. Each call takes another frame out of 32.
 * With `npm install --no-save hash-wasm` before it, its XXH3, XXH64 and BLAKE3 are measured too.
 */
import { createCipheriv, createHash, randomFillSync } from 'node:crypto';
import { crc32 } from 'node:zlib';

import { bestBareRuntime } from '#nae/benchmark/bare-runtime.js';
import { median, timed } from '#nae/benchmark/timing.js';
import { HW32_BYTES } from '#nae/event/layout.js';
import { inputChecksum } from '#nae/ledger/frame-digest.js';
import { Bench } from 'tinybench';

import { benchArguments, report } from './report.js';
import { DISTINCT_EVENTS, distinctCodes, shippedBundles } from './workload.js';

const settings = benchArguments({ time: 300 });
const FRAME_SIZES_EVENTS = [1, 64, 512, 4096, 12_288];
const RING = 32;
/** Measured where it is installed; nothing else needs it, so the compiler is not to look it up. */
const OPTIONAL_PACKAGES: readonly string[] = ['hash-wasm'];
/** Any will do: the time depends on none of it. */
const key = Buffer.alloc(32, 7);
const nonce = Buffer.alloc(12);

type Digest = (bytes: Uint8Array) => unknown;

const hash =
  (name: string): Digest =>
  (bytes) =>
    createHash(name).update(bytes).digest();

const digests = new Map<string, Digest>([
  ['gmac (the ledger)', inputChecksum],
  [
    'poly1305',
    (bytes) => {
      const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 });
      cipher.setAAD(bytes, { plaintextLength: 0 });
      cipher.final();
      return cipher.getAuthTag();
    },
  ],
  [
    'aes-128-cbc-mac',
    (bytes) => createCipheriv('aes-128-cbc', key.subarray(0, 16), key.subarray(0, 16)).update(bytes).subarray(-16),
  ],
  ['crc32', (bytes) => crc32(bytes)],
  ...['sha1', 'sha256', 'sha512-256', 'blake2b512', 'md5'].map((name): [string, Digest] => [name, hash(name)]),
  ...(await wasmDigests()),
]);

interface WasmHash {
  init(): this;
  update(bytes: Uint8Array): this;
  digest(type: 'binary'): Uint8Array;
}

async function wasmDigests(): Promise<[string, Digest][]> {
  let module: Record<string, () => Promise<WasmHash>>;
  try {
    module = (await import(OPTIONAL_PACKAGES[0]!)) as typeof module;
  } catch {
    return [];
  }
  const wanted = ['XXHash3', 'XXHash128', 'XXHash64', 'BLAKE3'];
  return Promise.all(
    wanted.map(async (one): Promise<[string, Digest]> => {
      const state = await module[`create${one}`]!();
      return [`${one.toLowerCase()} (wasm)`, (bytes) => state.init().update(bytes).digest('binary')];
    }),
  );
}

const codes = distinctCodes();
/** CPU time of an event [us]. */
const eventUs: Record<string, number> = {};
for (const { size, bundle } of await shippedBundles()) {
  const bare = await bestBareRuntime(bundle, codes);
  const runs: number[] = [];
  for (let run = 0; run < 5; run++) runs.push((await timed(() => bare.run(DISTINCT_EVENTS))).cpuSeconds);
  eventUs[size] = (median(runs) / DISTINCT_EVENTS) * 1e6;
}

const rows: Record<string, string | number>[] = [];
for (const events of FRAME_SIZES_EVENTS) {
  // At an odd address, as a Kafka value may be.
  const frames = Array.from({ length: RING }, () => randomFillSync(Buffer.alloc(events * HW32_BYTES + 2)).subarray(1));
  const bench = new Bench({ time: settings.numbers.time, warmupTime: 100 });
  for (const [name, digest] of digests) {
    let at = 0;
    bench.add(name, () => digest(frames[at++ % RING]!));
  }
  await bench.run();
  for (const { name, result } of bench.tasks) {
    if (result.state !== 'completed') throw new Error(`${name}: ${result.state}`);
    const us = result.latency.p50 * 1e3;
    rows.push({
      events,
      digest: name,
      us,
      gigabytes_per_second: (events * HW32_BYTES) / us / 1e3,
      of_m: us / (events * eventUs.m!),
      of_s: us / (events * eventUs.s!),
    });
  }
}
report('digest', settings, rows);
