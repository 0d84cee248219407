import { describe, expect, it } from 'vitest';

import { decodeFrame, encodeFrame } from '#nae/event/frame.js';
import { eventFaultCode } from '#nae/event/hardware-words.js';
import { FrameInFlight } from '#nae/pipeline/frame-in-flight.js';

import { frameOf, plausibleCodes } from './events.js';
import { record } from './memory-stream.js';

describe('a frame that waits for its transaction', () => {
  // A Buffer's own slice is no copy, and what is fetched from Kafka lies in Buffers.
  it.each([
    ['Uint8Array', (bytes: Uint8Array) => Uint8Array.from(bytes)],
    ['Buffer', (bytes: Uint8Array) => Buffer.from(bytes)],
  ])('keeps its results when the bytes it came in (%s) are used again', (_, received) => {
    const bytes = received(encodeFrame(frameOf(plausibleCodes(8, 2))));
    const frame = new FrameInFlight(record(bytes, 0), decodeFrame(bytes), 0, { generation: 1, paths: [] });
    frame.accept(3, []);
    frame.fault(5, eventFaultCode('crossing-out-of-range'));
    const before = [...frame.accepted[0]!.objects, ...frame.deadLetters[0]!.bytes];
    frame.letGo();
    bytes.fill(0xff);
    expect([...frame.accepted[0]!.objects, ...frame.deadLetters[0]!.bytes]).toEqual(before);
  });
});
