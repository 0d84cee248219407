import { basename } from 'node:path';

import type { SourcePosition } from '../event/accepted-event.js';
import { unixMs } from '../telemetry/clock.js';
import type { RecordedFrame, RecordingReader } from '../recording/recording.js';
import type { Intake, Source, SourceRecord } from './source.js';

/**
 * The frames of a recording, as fast as the stream takes them. A frame's position is (file name, partition 0,
 * frame number); it becomes available when it has been read.
 */
export class RecordingSource implements Source {
  readonly name: string;
  readonly #reader: RecordingReader;
  readonly #sourceName: string;

  /** Takes the reader over: it is closed with the source. */
  constructor(reader: RecordingReader) {
    this.#reader = reader;
    this.name = reader.path;
    this.#sourceName = basename(reader.path);
  }

  async run(intake: Intake, stop: AbortSignal): Promise<void> {
    const frames: AsyncIterator<RecordedFrame, undefined> = this.#reader.frames();
    const stopped = new Promise<void>((resolve) => {
      stop.addEventListener('abort', () => {
        resolve();
      });
    });
    while (!isAborted(stop)) {
      const next = frames.next();
      if (!(await settlesThisTurn(next))) intake.idle();
      const read = await next;
      if (read.done === true || isAborted(stop)) break;
      const full = intake.offer(this.#record(read.value));
      // A full stream may never have room again once it is being stopped.
      if (full !== undefined && !(await hasRoom(full, stopped))) break;
    }
  }

  #record(frame: RecordedFrame): SourceRecord {
    return new RecordingRecord(frame, this.#sourceName);
  }

  /**
   * The reader may use the frame's memory again. There is nothing to acknowledge: a recording that is read again is
   * read from its beginning.
   */
  finished(record: SourceRecord): void {
    if (record instanceof RecordingRecord) record.frame.release?.();
  }

  async close(): Promise<void> {
    await this.#reader.close();
  }
}

class RecordingRecord implements SourceRecord {
  readonly position: SourcePosition;
  readonly availableUnixMs = unixMs();
  readonly frame: RecordedFrame;

  constructor(frame: RecordedFrame, source: string) {
    this.frame = frame;
    this.position = { source, partition: 0, offset: BigInt(frame.number) };
  }

  get bytes(): Uint8Array {
    return this.frame.bytes;
  }

  get sourceGroups(): Float64Array | undefined {
    return this.frame.sourceGroups;
  }
}

/** Asked again after waiting, which the compiler takes for settled. */
function isAborted(stop: AbortSignal): boolean {
  return stop.aborted;
}

/** Whether a promise settles before the event loop comes round: what it waits for is at hand. */
function settlesThisTurn(promise: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const settled = (): void => {
      clearImmediate(turn);
      resolve(true);
    };
    const turn = setImmediate(resolve, false);
    promise.then(settled, settled);
  });
}

/** Whether the source is to go on: not where it was stopped meanwhile, or where the stream has failed. */
async function hasRoom(full: Promise<void>, stopped: Promise<void>): Promise<boolean> {
  return Promise.race([
    full.then(
      () => true,
      () => false,
    ),
    stopped.then(() => false),
  ]);
}
