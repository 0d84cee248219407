import { decodeFrame, isFrameFault, type L1Frame } from '#nae/event/frame.js';
import { Encoding } from '#nae/event/layout.js';
import { createRecording, openRecording, type OpenOptions } from '#nae/recording/open.js';
import type { RecordedFrame, RecordingHeader } from '#nae/recording/recording.js';

import { plain } from '../event/arbitrary-events.js';

export const HEADER: RecordingHeader = {
  labelNames: new Map([
    [0, 'background'],
    [1, 'A4l'],
  ]),
  provenance: new Map([['made by', 'a test']]),
};

export async function writeRecording(path: string, frames: readonly L1Frame[], header = HEADER): Promise<void> {
  const writer = await createRecording(path, { header });
  for (const frame of frames) await writer.write(frame);
  await writer.close();
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

export async function readRecorded(path: string, options: OpenOptions = {}): Promise<RecordedFrame[]> {
  const reader = await openRecording(path, options);
  try {
    return await collect(reader.frames());
  } finally {
    await reader.close();
  }
}

export async function readFrames(path: string, options: OpenOptions = {}): Promise<L1Frame[]> {
  return (await readRecorded(path, options)).map(({ bytes }) => soundFrame(bytes));
}

export function soundFrame(bytes: Uint8Array): L1Frame {
  const frame = decodeFrame(bytes);
  if (isFrameFault(frame)) throw new Error(`${frame.reason}: ${frame.detail}`);
  return plain(frame);
}

/** Frames of HW32 events that do not compress to nothing: pT codes count up, jets alone. */
export function manyFrames(frames: number, eventsPerFrame: number): L1Frame[] {
  let state = 1;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  return Array.from({ length: frames }, (_, number) => {
    const words = new Int32Array(eventsPerFrame * 19);
    for (let at = 9; at < words.length; at++) {
      if (at % 19 >= 9) words[at] = (1 + random(4095)) | (random(512) << 12) | (random(288) << 22);
    }
    const crossings = Uint16Array.from({ length: eventsPerFrame }, (_value, event) => 1 + (event % 3564));
    return {
      encoding: Encoding.HW32,
      run: 5,
      luminositySection: 0,
      orbit: number,
      eventCount: eventsPerFrame,
      bunchCrossings: new Uint8Array(crossings.buffer),
      orbitDeltas: new Uint8Array(),
      objects: new Uint8Array(words.buffer),
      labels: new Uint8Array(),
      createdUnixNs: 0n,
    };
  });
}
