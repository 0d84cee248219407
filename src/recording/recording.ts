/**
 * Contract of recordings: frames kept in files. Formats: `.l1f` and `.l1f.zst` (native), `.h5` (ADC2021 layout).
 */
import type { L1Frame } from '../event/frame.js';

export type RecordingFormat = 'l1f' | 'l1f.zst' | 'hdf5';

export interface RecordingHeader {
  /** Name of each truth label; 0 is background. */
  readonly labelNames: ReadonlyMap<number, string>;
  /** Free-form: what made the recording, with which settings. */
  readonly provenance: ReadonlyMap<string, string>;
}

/** One frame of a recording, in file order. */
export interface RecordedFrame {
  /** Number of the frame in the recording, from 0. */
  readonly number: number;
  /** The serialised L1Frame; not validated, and unwritten until {@link release} is called. */
  readonly bytes: Uint8Array;
  /**
   * The generated parton event of each event, where the recording knows it (HDF5 `source_group`): events that
   * share one are not independent.
   */
  readonly sourceGroups: Float64Array | undefined;
  /**
   * Nobody looks at {@link bytes} any more: the reader may use the memory again. Optional: once at most, or never by
   * whoever keeps the bytes. Undefined where the memory is not reused.
   */
  readonly release?: () => void;
}

export interface ReadOptions {
  /**
   * Also compare the checksum of all frames, where the recording has one.
   * Default: false; a recording that was cut is noticed without it.
   */
  readonly checksum?: boolean;
}

export interface RecordingReader {
  readonly path: string;
  readonly format: RecordingFormat;
  readonly header: RecordingHeader;
  /** Events in the recording where the format tells without reading it all (HDF5), else undefined. */
  readonly eventCount: number | undefined;
  /** Size of the file and how much of it has been read, for progress. */
  readonly sizeBytes: number;
  readonly readBytes: number;

  /**
   * Read all frames once, in blocks: memory does not grow with the file. Throws TriggerError
   * RECORDING_TRUNCATED, after every whole frame has been yielded, where the file ends inside a frame or holds fewer
   * than its header says, and INPUT_REFUSED where its framing is broken or, with the checksum, it holds more or other
   * frames than that; the message names the byte or event.
   */
  frames(options?: ReadOptions): AsyncIterableIterator<RecordedFrame, undefined>;

  close(): Promise<void>;
}

export interface RecordingWriter {
  readonly path: string;
  /**
   * Append a frame; resolves when more may be written. The frame's bytes may be reused after that.
   *
   * @param sourceGroups - the generated parton event of each event; only HDF5 has a place for it, the native
   *   formats drop it
   */
  write(frame: L1Frame, sourceGroups?: Float64Array): Promise<void>;
  /** Hand everything written so far to the operating system: it survives the end of this process. */
  flush(): Promise<void>;
  /** Complete the file: synced to the disk, and renamed from {@link partialPath} to its path. */
  close(): Promise<void>;
  /** Drop what was written so far. */
  discard(): Promise<void>;
}

/** Where a recording lies until its writer is closed. */
export function partialPath(path: string): string {
  return `${path}.partial`;
}
