import { basename } from 'node:path';

import { TriggerError } from '../errors.js';
import type { SourcePosition } from '../event/accepted-event.js';
import { frameFingerprint } from '../recording/frame-fingerprint.js';
import { unixMs } from '../telemetry/clock.js';
import type { RecordedFrame, RecordingReader } from '../recording/recording.js';
import type { Intake, Source, SourceRecord } from './source.js';

/** Where an interrupted stream goes on. */
export interface RecordingStart {
  /** Number of the first frame to offer. */
  readonly next: bigint;
  /** Fingerprint of the frame before it: that the recording is still the one that was begun. */
  readonly lastFrame: number;
}

/**
 * The frames of a recording, as fast as the stream takes them. A frame's position is (file name, partition 0,
 * frame number); it becomes available when it has been read.
 */
export class RecordingSource implements Source {
  readonly name: string;
  readonly #reader: RecordingReader;
  readonly #sourceName: string;
  readonly #start: RecordingStart | undefined;

  /**
   * Takes the reader over: it is closed with the source.
   *
   * @param start - frames before it are read and passed over
   */
  constructor(reader: RecordingReader, start?: RecordingStart) {
    this.#reader = reader;
    this.#start = start;
    this.name = reader.path;
    this.#sourceName = basename(reader.path);
  }

  async run(intake: Intake, stop: AbortSignal): Promise<void> {
    const frames: AsyncIterator<RecordedFrame, undefined> = this.#reader.frames();
    await this.#skip(frames, stop);
    while (!isAborted(stop)) {
      const next = frames.next();
      if (!(await settlesThisTurn(next))) intake.idle();
      const read = await next;
      if (read.done === true || isAborted(stop)) break;
      const full = intake.offer(this.#record(read.value));
      // A full stream may never have room again once it is being stopped.
      if (full !== undefined && !(await hasRoom(full, stop))) break;
    }
  }

  async #skip(frames: AsyncIterator<RecordedFrame, undefined>, stop: AbortSignal): Promise<void> {
    const start = this.#start;
    if (start === undefined || start.next === 0n) return;
    let last: RecordedFrame | undefined;
    while (!isAborted(stop) && (last === undefined || BigInt(last.number) < start.next - 1n)) {
      const { value } = await frames.next();
      if (value === undefined) break;
      last?.release?.();
      last = value;
    }
    if (isAborted(stop)) return;
    const place = `${this.name}: frame ${start.next - 1n}, the last one that was finished before`;
    if (last === undefined || BigInt(last.number) !== start.next - 1n) {
      throw new TriggerError('INPUT_REFUSED', `${place}: expected it, received the end of the recording`);
    }
    const sum = frameFingerprint(last.bytes);
    last.release?.();
    if (sum !== start.lastFrame) {
      const expected = `expected the fingerprint ${start.lastFrame}, received ${sum}`;
      throw new TriggerError('INPUT_REFUSED', `${place}: ${expected}: the recording is not the one that was begun`);
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

/**
 * Whether the source is to go on: not where it was stopped meanwhile, or where the stream has failed. Not a race with a
 * promise that lasts as long as the source, which would remember every wait.
 */
function hasRoom(full: Promise<void>, stop: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (room: boolean): void => {
      stop.removeEventListener('abort', onStop);
      resolve(room);
    };
    const onStop = (): void => {
      settle(false);
    };
    if (stop.aborted) onStop();
    stop.addEventListener('abort', onStop, { once: true });
    full.then(
      () => {
        settle(true);
      },
      () => {
        settle(false);
      },
    );
  });
}
