import type { AcceptedEvent } from '#nae/event/accepted-event.js';
import { Encoding } from '#nae/event/layout.js';
import { frameDigest, type DecidedFrame } from '#nae/ledger/frame-digest.js';
import { expect, test } from 'vitest';

const position = { source: 'l1.frames', partition: 1, offset: 7n };
const accepted: AcceptedEvent = {
  run: 1,
  luminositySection: 1,
  orbit: 1,
  bunchCrossing: 1,
  encoding: Encoding.HW32,
  objects: new Uint8Array(76),
  paths: [{ path: 'p', model: 'm', modelSha256: 'ab', score: 2.5, threshold: 1 }],
  position,
  index: 3,
  label: undefined,
};
const frame: DecidedFrame = {
  position,
  bytes: Uint8Array.of(1, 2, 3),
  paths: [{ path: 'p', modelSha256: 'ab', threshold: 1 }],
  accepted: [accepted],
  deadLetters: [],
};
const hex = (of: DecidedFrame): string => Buffer.from(frameDigest(of)).toString('hex');

test('is the documented one: computed with Python hashlib and struct from the description', () => {
  // s=b'l1.frames'; import hashlib,struct as t; hashlib.sha256(t.pack('<i',9)+s+t.pack('<iqi',1,7,3)+bytes([1,2,3])
  //   +t.pack('<ii',1,2)+b'ab'+t.pack('<f',1)+t.pack('<iii',1,3,1)+t.pack('<if',0,2.5)+t.pack('<i',0)).hexdigest()
  expect(hex(frame)).toBe('a2fb90cac854480e741d996b4ba89d95ec85dfa6ea8865a848059692b4e58e28');
});

test('changes with every input of a decision', () => {
  const variants: DecidedFrame[] = [
    { ...frame, position: { ...position, offset: 8n } },
    { ...frame, position: { ...position, partition: 2 } },
    { ...frame, position: { ...position, source: 'other' } },
    { ...frame, bytes: Uint8Array.of(1, 2, 4) },
    { ...frame, bytes: null },
    { ...frame, paths: [{ path: 'p', modelSha256: 'ac', threshold: 1 }] },
    { ...frame, paths: [{ path: 'p', modelSha256: 'ab', threshold: 1.5 }] },
    { ...frame, accepted: [] },
    { ...frame, accepted: [{ ...accepted, index: 4 }] },
    { ...frame, accepted: [{ ...accepted, paths: [{ ...accepted.paths[0]!, score: 2.5000002 }] }] },
    {
      ...frame,
      deadLetters: [{ kind: 'event', reason: 'r', detail: '', position, index: 0, bytes: new Uint8Array(0) }],
    },
  ];
  expect(new Set([frame, ...variants].map(hex)).size).toBe(variants.length + 1);
});
