import { access } from 'node:fs/promises';

import { messageOf, TriggerError } from '../errors.js';
import { Hdf5Reader } from './hdf5-reader.js';
import { Hdf5Writer } from './hdf5-writer.js';
import { L1fReader } from './l1f-reader.js';
import { L1fWriter } from './l1f-writer.js';
import {
  partialPath,
  type RecordingFormat,
  type RecordingHeader,
  type RecordingReader,
  type RecordingWriter,
} from './recording.js';

const FORMAT_OF_EXTENSION: readonly (readonly [string, RecordingFormat])[] = [
  ['.l1f', 'l1f'],
  ['.l1f.zst', 'l1f.zst'],
  ['.h5', 'hdf5'],
  ['.hdf5', 'hdf5'],
];

export const DEFAULT_EVENTS_PER_FRAME = 4096;

/** How frames are made of formats that hold events alone (HDF5); the native formats have their own. */
export interface OpenOptions {
  readonly eventsPerFrame?: number | undefined;
  /** Run number of events without identities; 1 unless given. */
  readonly run?: number | undefined;
}

interface CreateOptions {
  readonly header: RecordingHeader;
  /** Replace what is there; without it an existing file is refused. */
  readonly overwrite?: boolean;
}

/** The format of a recording by its file name; throws TriggerError INPUT_REFUSED for names that are none. */
export function formatOf(path: string): RecordingFormat {
  const format = FORMAT_OF_EXTENSION.find(([extension]) => path.endsWith(extension))?.[1];
  if (format === undefined) {
    const known = FORMAT_OF_EXTENSION.map(([extension]) => extension).join(', ');
    throw new TriggerError('INPUT_REFUSED', `${path}: not a recording: expected a name that ends in ${known}`);
  }
  return format;
}

/** Open a recording for reading; the format is that of its extension. */
export async function openRecording(path: string, options: OpenOptions = {}): Promise<RecordingReader> {
  const format = formatOf(path);
  if (format !== 'hdf5') return L1fReader.open(path, format);
  return Hdf5Reader.open(path, {
    eventsPerFrame: options.eventsPerFrame ?? DEFAULT_EVENTS_PER_FRAME,
    run: options.run ?? 1,
  });
}

/**
 * Create a recording; the format is that of its extension. Refuses an existing file, and the unfinished one of an
 * interrupted run, unless told to overwrite.
 */
export async function createRecording(path: string, options: CreateOptions): Promise<RecordingWriter> {
  const format = formatOf(path);
  if (options.overwrite !== true) await refuseExisting([path, partialPath(path)]);
  try {
    return await (format === 'hdf5'
      ? Hdf5Writer.create(path, options.header)
      : L1fWriter.create(path, format, options.header));
  } catch (error) {
    if (error instanceof TriggerError) throw error;
    throw new TriggerError('INPUT_REFUSED', `${path}: cannot be created: ${messageOf(error)}`, { cause: error });
  }
}

/** Throw TriggerError INPUT_REFUSED if any of the files exists. */
export async function refuseExisting(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    const exists = await access(path).then(
      () => true,
      () => false,
    );
    if (exists) {
      throw new TriggerError(
        'INPUT_REFUSED',
        `${path}: exists already; remove it, name another, or ask for overwriting`,
      );
    }
  }
}
