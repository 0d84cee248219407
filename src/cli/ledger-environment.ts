/**
 * What the bits of a score may depend on: where it is the same, decisions are expected to be identical.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, cpus } from 'node:os';

import type { Device } from '../model/session.js';

/** `onnxruntime 1.30.0, cpu, hw32, x64 MODEL, features abcd1234`. */
export function ledgerEnvironment(device: Device, quantise: string): string {
  const require = createRequire(import.meta.url);
  const { version } = require('onnxruntime-node/package.json') as { version: string };
  return `onnxruntime ${version}, ${device.kind}, ${quantise}, ${arch()} ${cpus()[0]?.model ?? 'unknown'}, ${features()}`;
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
