/** Bundles from elsewhere: what does not hold together, or would reach beyond its folder, is refused by name. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, mkdtemp, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import protobuf from 'protobufjs/minimal.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { loadBundle } from '#nae/model/bundle.js';
import { graphProblem } from '#nae/model/graph-check.js';
import { checkParity } from '#nae/model/parity.js';

import { BUNDLES } from '../pipeline/memory-stream.js';

describe('a bundle from elsewhere', () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nae-bundle-'));
    await cp(join(BUNDLES, 'ae-events-s'), folder, { recursive: true });
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const refusal = async (): Promise<string> => {
    const error = await loadBundle(folder).then(
      () => undefined,
      (thrown: unknown) => thrown as { code: string; message: string },
    );
    expect(error).toMatchObject({ code: 'INPUT_REFUSED', exitCode: 2 });
    return error!.message;
  };
  const edited = async (file: string, change: (text: string) => string): Promise<void> => {
    await writeFile(join(folder, file), change(await readFile(join(folder, file), 'utf8')));
  };

  it.each(['manifest.json', 'model.onnx', 'parity.json', 'calibration.json'])(
    'with %s linked elsewhere',
    async (file) => {
      await rm(join(folder, file));
      await symlink(join(BUNDLES, 'ae-events-s', file), join(folder, file));
      expect(await refusal()).toMatch(new RegExp(`${file}: .*expected a file within .*received a link to`));
    },
  );

  it('may link within its folder, and be linked itself', async () => {
    await rename(join(folder, 'model.onnx'), join(folder, 'v2.onnx'));
    await symlink('v2.onnx', join(folder, 'model.onnx'));
    await symlink(folder, `${folder}-link`);
    try {
      expect((await loadBundle(`${folder}-link`)).manifest.name).toBe('ae-events-s');
    } finally {
      await rm(`${folder}-link`);
    }
  });

  it.each(['manifest.json', 'model.onnx'])('with a pipe as %s', async (file) => {
    await rm(join(folder, file));
    execFileSync('mkfifo', [join(folder, file)]);
    expect(await refusal()).toContain('expected a plain file');
  });

  it.each([
    ['manifest.json', 1024 * 1024],
    ['calibration.json', 4 * 1024 * 1024],
    ['parity.json', 64 * 1024 * 1024],
    ['model.onnx', 256 * 1024 * 1024],
  ])('with a %s of more than %i bytes', async (file, limit) => {
    await truncate(join(folder, file), limit + 1);
    expect(await refusal()).toMatch(new RegExp(`${file}: .*expected at most ${limit} bytes, received ${limit + 1}`));
  });

  it.each([
    [
      'manifest.json',
      (text: string) => text.replace('{', `{"deep": ${'['.repeat(100)}${']'.repeat(100)},`),
      /at most 32 deep, received 101/,
    ],
    [
      'manifest.json',
      (text: string) => text.replace('{', '{"__proto__": {"admin": true},'),
      /no key of the name __proto__/,
    ],
    [
      'manifest.json',
      (text: string) => text.replace('{', '{"extra": {"constructor": 1},'),
      /no key of the name constructor/,
    ],
    ['calibration.json', (text: string) => text.replace(/"threshold": [^,]+/, '"threshold": 1e999'), /threshold/],
    ['calibration.json', (text: string) => text.replace(/"threshold": [^,]+/, '"threshold": NaN'), /expected JSON/],
    ['calibration.json', (text: string) => text.replace(/"threshold": [^,]+/, '"threshold": 1e39'), /float32/],
    ['parity.json', (text: string) => text.replace(/"scores":\s*\[/, '"scores": [1e999,'), /scores/],
    ['parity.json', () => 'Infinity', /expected JSON/],
    ['manifest.json', () => '', /expected JSON/],
    ['manifest.json', (text: string) => text.replace(/"name": "[^"]*"/, `"name": "${'x'.repeat(300)}"`), /name/],
    ['manifest.json', (text: string) => text.replace(/"name": "[^"]*"/, '"name": "a\\u0000\\nb"'), /name/],
    ['manifest.json', (text: string) => text.replace(/"parameters": \d+/, '"parameters": 1e400'), /parameters/],
  ])('with a %s that is none (%#)', async (file, change, message) => {
    await edited(file, change);
    const said = await refusal();
    expect(said).toContain(file);
    expect(said).toMatch(message);
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });

  it('with bytes that are no UTF-8', async () => {
    await writeFile(join(folder, 'manifest.json'), Uint8Array.of(0x22, 0xff, 0x22));
    expect(await refusal()).toContain('manifest.json');
  });

  /** Change the model and the manifest's hash with it. */
  const withModel = async (change: (model: Buffer) => Uint8Array): Promise<void> => {
    const model = change(await readFile(join(folder, 'model.onnx')));
    await writeFile(join(folder, 'model.onnx'), model);
    const sha256 = createHash('sha256').update(model).digest('hex');
    await edited('manifest.json', (text) => text.replace(/"sha256": "[0-9a-f]{64}"/, `"sha256": "${sha256}"`));
    await rm(join(folder, 'calibration.json'));
  };
  const replaced = (model: Buffer, from: string, to: string): Buffer => {
    const copy = Buffer.from(model);
    for (let at = copy.indexOf(from); at !== -1; at = copy.indexOf(from, at + 1)) copy.write(to, at);
    return copy;
  };

  it.each([
    ['events', 'evonts', /expected input events .*received inputs evonts/],
    ['score', 'scare', /outputs scare/],
  ])('whose %s goes by another name', async (name, other, message) => {
    await withModel((model) => replaced(model, name, other));
    const bundle = await loadBundle(folder);
    await expect(checkParity(bundle, { kind: 'cpu' })).rejects.toThrow(message);
  });

  it('with tensors that declare other sizes than they hold', async () => {
    await withModel((model) =>
      Buffer.concat([
        model,
        tensor((writer) => dims(writer, 100).uint32(16).int32(1).uint32(74).bytes(new Uint8Array(8))),
      ]),
    );
    expect(await refusal()).toMatch(
      /model\.onnx: expected 100 elements of a tensor, as its dimensions say, received 2/,
    );
  });
});

/** A graph with one initializer, to be merged into a model's. */
function tensor(write: (writer: protobuf.Writer) => protobuf.Writer): Uint8Array {
  const writer = protobuf.Writer.create();
  writer.uint32((7 << 3) | 2).fork();
  write(writer.uint32((5 << 3) | 2).fork()).ldelim();
  return writer.ldelim().finish();
}
const dims = (writer: protobuf.Writer, ...sizes: number[]): protobuf.Writer =>
  sizes.reduce((one, size) => one.uint32(8).int64(size), writer);
const int64s = (...values: number[]): Uint8Array => new Uint8Array(BigInt64Array.from(values, BigInt).buffer);

describe('tensors of a model', () => {
  const FLOAT = 1;
  const INT64 = 7;
  const typed = (writer: protobuf.Writer, type: number): protobuf.Writer => writer.uint32(16).int32(type);

  it.each<[string, Uint8Array]>([
    [
      'raw floats',
      tensor((w) =>
        typed(dims(w, 2, 3), FLOAT)
          .uint32(74)
          .bytes(new Uint8Array(24)),
      ),
    ],
    ['packed floats', tensor((w) => typed(dims(w, 2), FLOAT).uint32(34).bytes(new Uint8Array(8)))],
    ['single floats', tensor((w) => typed(dims(w, 2), FLOAT).uint32(37).float(1).uint32(37).float(2))],
    ['packed varints', tensor((w) => typed(dims(w, 2), INT64).uint32(58).fork().int64(1).int64(300).ldelim())],
    ['a scalar', tensor((w) => typed(w, FLOAT).uint32(74).bytes(new Uint8Array(4)))],
    ['nothing', tensor((w) => typed(dims(w, 0), FLOAT))],
    ['ends of slices', tensor((w) => typed(dims(w, 2), INT64).uint32(74).bytes(int64s(57, Number.MAX_SAFE_INTEGER)))],
  ])('sound: %s', (_what, model) => {
    expect(graphProblem(model)).toBeUndefined();
  });

  it.each<[string, Uint8Array, RegExp]>([
    [
      'too few bytes',
      tensor((w) =>
        typed(dims(w, 2, 3), FLOAT)
          .uint32(74)
          .bytes(new Uint8Array(20)),
      ),
      /expected 6 elements .* received 5/,
    ],
    ['half an element', tensor((w) => typed(dims(w, 2), FLOAT).uint32(74).bytes(new Uint8Array(6))), /received 1\.5/],
    ['none at all', tensor((w) => typed(dims(w, 1_000_000), FLOAT)), /expected 1000000 elements .* received 0/],
    ['more than declared', tensor((w) => typed(dims(w, 1), FLOAT).uint32(34).bytes(new Uint8Array(8))), /received 2/],
    [
      'many dimensions',
      tensor((w) => typed(dims(w, ...new Array<number>(5000).fill(2)), FLOAT)),
      /at most \d+ elements/,
    ],
    ['an unknown type', tensor((w) => typed(dims(w, 1), 99).uint32(74).bytes(new Uint8Array(4))), /of type 99/],
    [
      'a shape beyond memory',
      tensor((w) => typed(dims(w, 2), INT64).uint32(74).bytes(int64s(1e6, 1e6))),
      /shapes of at most .* 1000000 x 1000000/,
    ],
  ])('refused: %s', (_what, model, message) => {
    expect(graphProblem(model)).toMatch(message);
  });
});
