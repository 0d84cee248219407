/** A source that is in no hurry, or in all of it: frames become available at a fixed pace, or when they are taken. */
import { setImmediate as nextTurn } from 'node:timers/promises';

import { openRecording } from '../recording/open.js';
import type { Intake, Source, SourceRecord } from '../source/source.js';
import { unixMs } from '../telemetry/clock.js';
import { Pacer } from './pacer.js';

/** Serialised frames without end. */
export type FrameFeed = AsyncGenerator<{ readonly bytes: Uint8Array; readonly release?: () => void }, never>;

// eslint-disable-next-line @typescript-eslint/require-await -- others read files
export async function* memoryFeed(frames: readonly Uint8Array[]): FrameFeed {
  for (let number = 0; ; number++) yield { bytes: frames[number % frames.length]! };
}

/**
 * The frames of a recording, again from its beginning whenever it has come to its end. It is opened for the next round
 * while the one before is read: frames that are due must not wait for that.
 */
export async function* recordingFeed(path: string): FrameFeed {
  let next = openRecording(path);
  let closing = Promise.resolve();
  try {
    for (;;) {
      const reader = await next;
      await closing;
      next = openRecording(path);
      // Awaited in its turn; a failure before that is no unhandled rejection.
      next.catch(() => undefined);
      try {
        yield* reader.frames();
      } finally {
        closing = reader.close();
      }
    }
  } finally {
    await closing;
    await next.then(
      (reader) => reader.close(),
      () => undefined,
    );
  }
}

interface PacedRecord extends SourceRecord {
  readonly release: (() => void) | undefined;
}

/**
 * Frames that become available at a fixed pace whatever the stream does (open loop): a frame's latency begins when it
 * was due, also where a full stream made it wait, so that no omission is coordinated with the stream's pauses.
 * Without a pace: as fast as they are taken.
 */
export class PacedSource implements Source {
  readonly name = 'paced';
  /** Told of every frame how late after it was due it is offered [ms]. */
  onOffer: (lateMs: number) => void = () => undefined;
  readonly #feed: FrameFeed;
  readonly #count: number;
  readonly #intervalMs: number;

  /**
   * @param feed - is closed with the source
   * @param intervalMs - between frames; 0: no pace
   */
  constructor(feed: FrameFeed, count: number, intervalMs: number) {
    this.#feed = feed;
    this.#count = count;
    this.#intervalMs = intervalMs;
  }

  async run(intake: Intake, stop: AbortSignal): Promise<void> {
    const pacer = this.#intervalMs > 0 ? await Pacer.start(this.#count, this.#intervalMs) : undefined;
    try {
      for (let number = 0; number < this.#count && !stop.aborted; number++) {
        const { bytes, release } = (await this.#feed.next()).value;
        while (pacer !== undefined && pacer.due <= number) {
          intake.idle();
          await pacer.news();
        }
        const now = unixMs();
        const availableUnixMs = pacer === undefined ? now : pacer.startMs + number * this.#intervalMs;
        this.onOffer(now - availableUnixMs);
        const position = { source: this.name, partition: 0, offset: BigInt(number) };
        const full = intake.offer({ position, bytes, availableUnixMs, release } satisfies PacedRecord as SourceRecord);
        if (full !== undefined) await full;
        else if (pacer === undefined && number % 8 === 0) await nextTurn();
      }
    } finally {
      await pacer?.end();
    }
  }

  finished(record: SourceRecord): void {
    (record as PacedRecord).release?.();
  }

  async close(): Promise<void> {
    await this.#feed.return(undefined as never);
  }
}
