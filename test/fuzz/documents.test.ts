/**
 * Documents from nobody one trusts: manifests, calibrations, parity sets and models of bundles, configuration files,
 * bodies of `POST /menu`. Each is taken, or refused with a TriggerError or a 4xx answer.
 */
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import fc from 'fast-check';
import { Registry } from 'prom-client';
import { afterAll, expect, it } from 'vitest';

import { menuRequestOf } from '#nae/cli/menu-request.js';
import { loadSettings } from '#nae/config/load.js';
import { flagName, OPTIONS, type OptionName } from '#nae/config/options.js';
import { TriggerError } from '#nae/errors.js';
import { loadBundle } from '#nae/model/bundle.js';
import { graphProblem } from '#nae/model/graph-check.js';
import { serveTelemetry } from '#nae/telemetry/http.js';

import { BUNDLES, path } from '../pipeline/memory-stream.js';
import { damagedBytes, damagedJson } from './damage.js';
import { Random } from './mutated-frames.js';

const DOCUMENTS = Number(process.env.FUZZ_DOCUMENTS ?? 400);
const SEED = Number(process.env.FUZZ_SEED ?? 1);
const MAX_GROWTH_BYTES = 256 * 1024 * 1024;

const folder = mkdtempSync(join(tmpdir(), 'nae-fuzz-'));
cpSync(join(BUNDLES, 'ae-events-s'), folder, { recursive: true });
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const running = { generation: 1, paths: [await path('ae-events-s', 1)] };

/** Try each document; what is thrown and no TriggerError ends the test, and names the document. */
async function classified<T>(
  make: (random: Random) => T,
  attempt: (document: T) => unknown,
): Promise<Map<string, number>> {
  const random = new Random(SEED);
  const classes = new Map<string, number>();
  const heldAtFirst = process.memoryUsage.rss();
  for (let number = 0; number < DOCUMENTS; number++) {
    const document = make(random);
    let outcome = 'taken';
    try {
      await attempt(document);
    } catch (error) {
      if (!(error instanceof TriggerError)) {
        throw new Error(`document ${number} of seed ${SEED}: ${String(document).slice(0, 500)}`, { cause: error });
      }
      // Whoever reads it must not be flooded.
      expect(error.message.length).toBeLessThan(20_000);
      outcome = error.code;
    }
    classes.set(outcome, (classes.get(outcome) ?? 0) + 1);
  }
  expect(process.memoryUsage.rss() - heldAtFirst).toBeLessThan(MAX_GROWTH_BYTES);
  expect(({} as Record<string, unknown>).admin).toBeUndefined();
  console.log(JSON.stringify({ documents: DOCUMENTS, ...Object.fromEntries(classes) }));
  return classes;
}

it.each(['manifest.json', 'calibration.json', 'parity.json'])(`%s: each is taken or refused`, async (file) => {
  const sound = readFileSync(join(BUNDLES, 'ae-events-s', file), 'utf8');
  try {
    const classes = await classified(
      (random) => damagedJson(sound, random),
      async (text) => {
        writeFileSync(join(folder, file), text);
        await loadBundle(folder);
      },
    );
    expect(classes.get('INPUT_REFUSED')).toBeGreaterThan(0);
  } finally {
    writeFileSync(join(folder, file), sound);
  }
});

it('model.onnx: each is looked through, whatever its bytes', () => {
  const sound = readFileSync(join(BUNDLES, 'ae-events-s', 'model.onnx'));
  const random = new Random(SEED);
  let refused = 0;
  for (let number = 0; number < DOCUMENTS; number++) {
    // Damage counts where the structure is: half of it in the names and sizes before the weights.
    const problem = graphProblem(damagedBytes(sound, random, 3000));
    expect(['string', 'undefined']).toContain(typeof problem);
    if (problem !== undefined) refused++;
  }
  expect(refused).toBeGreaterThan(DOCUMENTS / 10);
  expect(createHash('sha256').update(sound).digest('hex')).toBe(running.paths[0]!.bundle.manifest.sha256);
});

it('configuration files: each is taken or refused', async () => {
  const file = join(folder, 'config.yaml');
  // Some options share a flag: the first of them.
  const all = Object.keys(OPTIONS) as OptionName[];
  const names = all.filter((name) => all.find((one) => flagName(one) === flagName(name)) === name);
  const sound = [
    'source: kafka:l1.frames',
    'sink: "out.l1f"',
    'model: [ae-events-s, nae-events-s]',
    'threshold: [0.1, 2e-1]',
    'brokers: [a:9092]',
    'workers: 2',
    'stop-at-end: true',
    'swap-at: next-frame',
    'background: &anchor x.h5',
    'to: *anchor',
    'http-port: 9464',
  ].join('\n');
  const classes = await classified(
    (random) => {
      const pieces = ['&a [*a]', '<<: *anchor', '__proto__: {admin: 1}', '- ', '\t', '"', '{', '*b', '---', '%YAML 9'];
      const text =
        random.below(3) === 0
          ? sound.replace(random.of(sound.split('\n')), random.of(pieces))
          : damagedJson(sound, random);
      return random.below(4) === 0
        ? new TextDecoder().decode(damagedBytes(new TextEncoder().encode(text), random))
        : text;
    },
    (text) => {
      writeFileSync(file, text);
      loadSettings(
        names.filter((name) => sound.includes(`${flagName(name)}:`) || name === 'config'),
        { config: file },
      );
    },
  );
  expect(classes.get('USAGE')).toBeGreaterThan(0);
  expect(classes.get('taken')).toBeGreaterThan(0);
});

it('a configuration file of aliases of aliases is refused, not unfolded', () => {
  const file = join(folder, 'bomb.yaml');
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let at = 1; at < 12; at++) lines.push(`a${at}: &a${at} [${new Array(10).fill(`*a${at - 1}`).join(', ')}]`);
  writeFileSync(file, lines.join('\n'));
  expect(() => loadSettings(['source', 'config'], { config: file })).toThrow(TriggerError);
});

const SOUND_BODY =
  '{"model": ["ae-events-s"], "threshold": [0.5], "swap-at": "offsets:0=1", "shadow-events": 10, "shadow-band": "1e-3..1"}';

it('bodies of POST /menu: each is a request or refused', async () => {
  const classes = await classified(
    (random) => {
      // Sound JSON for most: what is no JSON goes no further than the server.
      for (;;) {
        try {
          return JSON.parse(damagedJson(SOUND_BODY, random)) as unknown;
        } catch {
          if (random.below(10) === 0) return random.of<unknown>([null, 1, 'x', [], {}]);
        }
      }
    },
    (document) => menuRequestOf(document, running),
  );
  expect(classes.get('USAGE')).toBeGreaterThan(0);
  fc.assert(
    fc.property(fc.json({ maxDepth: 5 }), (text) => {
      expect(() => menuRequestOf(JSON.parse(text), running)).toThrow(TriggerError);
    }),
    { seed: SEED, numRuns: DOCUMENTS },
  );
});

it('the server answers whatever comes as a body', async () => {
  let asked = 0;
  const page = {
    read: () => ({}),
    post: (document: unknown) => {
      asked++;
      try {
        menuRequestOf(document, running);
        return { status: 202, body: {} };
      } catch (error) {
        expect(error).toBeInstanceOf(TriggerError);
        return { status: 400, body: {} };
      }
    },
  };
  const pages = await serveTelemetry(new Registry(), 0, '127.0.0.1', { '/menu': page });
  const random = new Random(SEED);
  try {
    for (let number = 0; number < DOCUMENTS / 4; number++) {
      const bytes = damagedBytes(new TextEncoder().encode(SOUND_BODY), random);
      const headers = { 'content-type': 'application/json' };
      const { status } = await fetch(`${pages.url}/menu`, {
        method: 'POST',
        headers,
        body: bytes as Uint8Array<ArrayBuffer>,
      });
      expect([202, 400]).toContain(status);
    }
    expect(asked).toBeGreaterThan(0);
  } finally {
    await pages.close();
  }
});
