/**
 * Reading files of a bundle that comes from elsewhere: nothing outside of its folder, nothing that is no plain file, no
 * more bytes and no deeper JSON than a bundle can have.
 */
import { constants } from 'node:fs';
import { open, realpath } from 'node:fs/promises';
import { dirname, sep } from 'node:path';

/** Deepest nesting of objects and lists. */
const MAX_DEPTH = 32;
/** Keys that mean something to JavaScript itself. */
const RESERVED_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/**
 * The bytes of a file, at most `maxBytes`. Throws an Error that says what was expected and what came; the system's own
 * where the file cannot be opened.
 */
export async function readUntrusted(path: string, maxBytes: number): Promise<Buffer> {
  const folder = await realpath(dirname(path));
  const target = await realpath(path);
  if (!target.startsWith(folder.endsWith(sep) ? folder : folder + sep)) {
    throw new Error(`expected a file within ${folder}, received a link to ${target}`);
  }
  // Without O_NONBLOCK the opening of a pipe would wait for somebody to write to it.
  const file = await open(target, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const status = await file.stat();
    if (!status.isFile()) throw new Error('expected a plain file');
    if (status.size > maxBytes) throw new Error(`expected at most ${maxBytes} bytes, received ${status.size}`);
    const bytes = Buffer.alloc(status.size);
    let read = 0;
    while (read < bytes.length) {
      const { bytesRead } = await file.read(bytes, read, bytes.length - read, read);
      if (bytesRead === 0) throw new Error(`expected ${bytes.length} bytes, received ${read}`);
      read += bytesRead;
    }
    return bytes;
  } finally {
    await file.close();
  }
}

/** A JSON document in UTF-8. Throws an Error that says what was expected and what came. */
export function parseUntrustedJson(bytes: Uint8Array): unknown {
  const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  const deepest = nesting(text);
  if (deepest > MAX_DEPTH) throw new Error(`expected JSON nested at most ${MAX_DEPTH} deep, received ${deepest}`);
  return JSON.parse(text, (key, value: unknown) => {
    if (RESERVED_KEYS.has(key)) throw new Error(`expected no key of the name ${key}`);
    return value;
  });
}

/** How deep brackets and braces are nested outside of strings, of anything that may or may not be JSON. */
function nesting(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const character = text.charCodeAt(at);
    if (inString) {
      if (character === 0x5c) at++;
      else if (character === 0x22) inString = false;
    } else if (character === 0x22) inString = true;
    else if (character === 0x5b || character === 0x7b) deepest = Math.max(deepest, ++depth);
    else if (character === 0x5d || character === 0x7d) depth--;
  }
  return deepest;
}
