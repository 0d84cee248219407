import type { AcceptedEvent } from '#nae/event/accepted-event.js';
import { Encoding } from '#nae/event/layout.js';
import { frameDigest, inputChecksum, type DecidedFrame } from '#nae/ledger/frame-digest.js';
import fc from 'fast-check';
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
  input: inputChecksum(Uint8Array.of(1, 2, 3)),
  paths: [{ path: 'p', modelSha256: 'ab', threshold: 1 }],
  accepted: [accepted],
  deadLetters: [],
};
const hex = (of: DecidedFrame): string => Buffer.from(frameDigest(of)).toString('hex');

test('the checksum of the input is AES-128-GMAC as another implementation has it, wherever the bytes lie', () => {
  // Python's cryptography: AESGCM(hashlib.sha256(b'l1trigger.v1.LedgerEntry').digest()[:16])
  //   .encrypt(bytes(12), b'', bytes([1, 2, 3])).hex()
  const expected = '78e18c97c4bec398c6cd8a7837333e4d';
  expect(Buffer.from(inputChecksum(Uint8Array.of(1, 2, 3))).toString('hex')).toBe(expected);
  const block = Uint8Array.of(9, 1, 2, 3, 9);
  expect(Buffer.from(inputChecksum(block.subarray(1, 4))).toString('hex')).toBe(expected);
});

test('the checksum of the input changes with any of its bits, and with its length', () => {
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 5000 });
  fc.assert(
    fc.property(bytes, fc.nat(), fc.nat(7), (frame, at, bit) => {
      const sum = Buffer.from(inputChecksum(frame));
      const flipped = frame.slice();
      flipped[at % frame.length]! ^= 1 << bit;
      expect(sum.equals(inputChecksum(flipped))).toBe(false);
      expect(sum.equals(inputChecksum(frame.subarray(1)))).toBe(false);
      expect(sum.equals(inputChecksum(Buffer.concat([frame, Buffer.alloc(1)])))).toBe(false);
    }),
  );
});

test('is the documented one: computed with Python hashlib and struct from the description', () => {
  // s=b'l1.frames'; import hashlib,struct as t; sum=bytes.fromhex('78e18c97c4bec398c6cd8a7837333e4d')
  // hashlib.sha256(t.pack('<i',9)+s+t.pack('<iqi',1,7,16)+sum+t.pack('<ii',1,2)+b'ab'+t.pack('<f',1)
  //   +t.pack('<iii',1,3,1)+t.pack('<if',0,2.5)+t.pack('<i',0)).hexdigest()
  expect(hex(frame)).toBe('b2c1fe470d1b75f3de82e1e2940c1b4a7386f49dac439034f01eb928e1a561ff');
});

test('changes with every input of a decision', () => {
  const variants: DecidedFrame[] = [
    { ...frame, position: { ...position, offset: 8n } },
    { ...frame, position: { ...position, partition: 2 } },
    { ...frame, position: { ...position, source: 'other' } },
    { ...frame, input: inputChecksum(Uint8Array.of(1, 2, 4)) },
    { ...frame, input: inputChecksum(new Uint8Array(0)) },
    { ...frame, input: inputChecksum(null) },
    { ...frame, paths: [{ path: 'p', modelSha256: 'ac', threshold: 1 }] },
    { ...frame, paths: [{ path: 'p', modelSha256: 'ab', threshold: 1.5 }] },
    { ...frame, paths: [{ path: 'p', modelSha256: 'ab', threshold: 1, student: { sha256: 'cd', cut: 0.5 } }] },
    { ...frame, paths: [{ path: 'p', modelSha256: 'ab', threshold: 1, student: { sha256: 'cd', cut: 0.25 } }] },
    { ...frame, paths: [{ path: 'p', modelSha256: 'ab', threshold: 1, student: { sha256: 'ce', cut: 0.5 } }] },
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
