/**
 * What the bits of a score may depend on: where it is the same, decisions are expected to be identical.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, cpus } from 'node:os';

import type { Settings } from '../config/options.js';
import type { Device } from '../model/session.js';

/** `onnxruntime 1.30.0, cpu, hw32, 1024 rows, linux x64 MODEL, features abcd1234, glibc 2.36`. */
export function ledgerEnvironment(
  { kind }: Device,
  { quantise, inferenceRows }: Settings<'quantise' | 'inferenceRows'>,
): string {
  const require = createRequire(import.meta.url);
  const { version } = require('onnxruntime-node/package.json') as { version: string };
  const processor = `${process.platform} ${arch()} ${cpus()[0]?.model ?? 'unknown'}, ${features()}`;
  return `onnxruntime ${version}, ${kind}, ${quantise}, ${inferenceRows} rows, ${processor}, ${libraryOfMathematics()}`;
}

/** Whether the same environment means the same bits: nothing in it tells one GPU from another. */
export function givesSameBits({ kind }: Device): boolean {
  return kind === 'cpu';
}

/** The C library, whose exponential a runtime may call. */
function libraryOfMathematics(): string {
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return `glibc ${header?.glibcVersionRuntime ?? 'none'}`;
}

/** The processor's instruction sets, where the system lists them. */
function features(): string {
  try {
    const flags = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
    return `features ${createHash('sha256').update(flags.trim()).digest('hex').slice(0, 8)}`;
  } catch {
    return 'features unknown';
  }
}
