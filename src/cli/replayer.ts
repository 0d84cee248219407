/**
 * Replays recordings into a topic: identities counted on over loops, frames stamped with the time they leave.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { decodeFrame, encodeFrame, isFrameFault, orbitOf, bunchCrossingOf, type L1Frame } from '../event/frame.js';
import { CROSSING_RATE_HZ, CROSSINGS_PER_ORBIT, LUMINOSITY_SECTION_ORBIT_BITS } from '../event/layout.js';
import { eventOf, FramePacker } from '../recording/frame-packer.js';
import { openRecording } from '../recording/open.js';
import type { FrameProducer } from '../replay/frame-producer.js';
import { unixNs } from '../telemetry/clock.js';

/** Shorter waits are skipped: timers are no finer. */
const TIMER_MS = 2;

export interface ReplayOptions {
  readonly path: string;
  readonly pace: 'max' | 'lhc';
  /** Factor on the pace lhc. */
  readonly speed: number;
  /** How often; Infinity until stopped. */
  readonly loop: number;
  /** Run number to replay under; undefined keeps the recording's. */
  readonly run: number | undefined;
  /** Events per frame of recordings that hold events alone. */
  readonly frameEvents: number | undefined;
}

/** Counts of a replay, kept up to date while it goes on. */
export interface ReplayState {
  events: number;
  frames: number;
  /** Frames sent as they are because they cannot be decoded. */
  faults: number;
  done: number;
  total: number;
  elapsedSeconds: number;
}

/** Replay until the end or until stopped; every frame is with the brokers when this resolves. */
export async function replay(
  options: ReplayOptions,
  producer: FrameProducer,
  stop: AbortSignal,
  state: ReplayState,
): Promise<void> {
  const start = performance.now();
  let orbitShift = 0;
  for (let loop = 0; loop < options.loop && !isStopped(stop); loop++) {
    const reader = await openRecording(options.path, { eventsPerFrame: options.frameEvents, run: options.run });
    let firstCrossing: number | undefined;
    let lastOrbit = 0;
    const loopStart = performance.now();
    try {
      for await (const { bytes } of reader.frames()) {
        if (isStopped(stop)) break;
        const frame = decodeFrame(bytes);
        if (isFrameFault(frame)) {
          // What is broken in a recording must reach the stream as it is: the stream accounts for it.
          await producer.send({ run: options.run ?? 0, orbit: lastOrbit, bytes });
          state.faults++;
          state.frames++;
        } else {
          const crossing = crossingOf(frame);
          firstCrossing ??= crossing;
          const dueMs = ((crossing - firstCrossing) * 1000) / CROSSING_RATE_HZ / options.speed;
          if (options.pace === 'lhc') await until(loopStart + dueMs, producer, stop);
          for (const live of shifted(frame, orbitShift, options.run)) {
            await producer.send({ run: live.run, orbit: live.orbit, bytes: encodeFrame(live) });
            state.frames++;
          }
          lastOrbit = Math.max(lastOrbit, orbitOf(frame, Math.max(0, frame.eventCount - 1)));
          state.events += frame.eventCount;
        }
        state.done = reader.readBytes;
        state.total = reader.sizeBytes;
        state.elapsedSeconds = (performance.now() - start) / 1000;
      }
    } finally {
      await reader.close();
    }
    orbitShift += lastOrbit + 1;
  }
  await producer.flush();
  state.elapsedSeconds = (performance.now() - start) / 1000;
}

/** A function, because the flag changes behind the compiler's back. */
function isStopped(stop: AbortSignal): boolean {
  return stop.aborted;
}

/** Number of the frame's first crossing since orbit 0. */
function crossingOf(frame: L1Frame): number {
  return frame.orbit * CROSSINGS_PER_ORBIT + (frame.eventCount > 0 ? bunchCrossingOf(frame, 0) : 1);
}

/** The frames that a recorded frame becomes `orbits` later: several where the end of a luminosity section falls into it. */
function* shifted(frame: L1Frame, orbits: number, run: number | undefined): Generator<L1Frame> {
  const live = { ...frame, run: run ?? frame.run, orbit: frame.orbit + orbits, createdUnixNs: unixNs() };
  if (orbits === 0) {
    yield live;
    return;
  }
  const packer = new FramePacker(frame.eventCount);
  for (let index = 0; index < frame.eventCount; index++) {
    const event = eventOf(live, index, undefined);
    const luminositySection = event.orbit >>> LUMINOSITY_SECTION_ORBIT_BITS;
    const complete = packer.add({ ...event, luminositySection });
    if (complete !== undefined) yield complete.frame;
  }
  const rest = packer.finish();
  if (rest !== undefined) yield rest.frame;
}

/** Wait for a frame's time; those before it must not wait with it for a request to fill up. */
async function until(dueMs: number, producer: FrameProducer, stop: AbortSignal): Promise<void> {
  if (dueMs - performance.now() < TIMER_MS) return;
  await producer.flush();
  const wait = dueMs - performance.now();
  if (wait >= TIMER_MS) await sleep(wait, undefined, { signal: stop }).catch(() => undefined);
}
