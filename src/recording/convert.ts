/**
 * From one recording to another: format, encoding and framing.
 */
import { TriggerError } from '../errors.js';
import { decodeFrame, isFrameFault, type L1Frame } from '../event/frame.js';
import { Encoding } from '../event/layout.js';
import { faultAt, reencode } from './encode-events.js';
import { eventOf, FramePacker, type PackedFrame } from './frame-packer.js';
import { createRecording, formatOf, openRecording } from './open.js';
import type { RecordingReader, RecordingWriter } from './recording.js';

export interface ConvertOptions {
  /**
   * Encoding of the new recording's events; `keep` leaves them as they are, byte by byte and unchecked. HDF5 holds
   * physical values whatever is asked for: HW32 then means values on the hardware grid.
   */
  readonly encoding: 'HW32' | 'PHYS32' | 'keep';
  /** Events per frame; undefined keeps the frames as they are (HDF5 input: 4096). */
  readonly eventsPerFrame?: number | undefined;
  /** Leave out, and count, frames and events that cannot be converted; otherwise the first one ends it. */
  readonly skipFaulty?: boolean;
  /** Run number of events without identities. */
  readonly run?: number | undefined;
  readonly overwrite?: boolean;
  readonly onProgress?: (progress: { readBytes: number; sizeBytes: number; events: number }) => void;
}

export interface ConvertResult {
  readonly frames: number;
  readonly events: number;
  readonly skippedFrames: number;
  readonly skippedEvents: number;
  /** What the old recording says and the new one has no place for, in words for the user. */
  readonly lost: readonly string[];
}

/**
 * Convert a recording. Identities and labels are kept, and no frame crosses a run or luminosity section. On
 * failure nothing is left at `to`.
 */
export async function convertRecording(from: string, to: string, options: ConvertOptions): Promise<ConvertResult> {
  formatOf(to);
  const reader = await openRecording(from, { eventsPerFrame: options.eventsPerFrame, run: options.run });
  try {
    const writer = await createRecording(to, { header: reader.header, overwrite: options.overwrite ?? false });
    try {
      const result = await new Conversion(reader, writer, options).run();
      await writer.close();
      return result;
    } catch (error) {
      await writer.discard();
      throw error;
    }
  } finally {
    await reader.close();
  }
}

class Conversion {
  readonly #reader: RecordingReader;
  readonly #writer: RecordingWriter;
  readonly #options: ConvertOptions;
  readonly #packer: FramePacker;
  #frames = 0;
  #events = 0;
  #skippedFrames = 0;
  #skippedEvents = 0;
  #hadSourceGroups = false;

  constructor(reader: RecordingReader, writer: RecordingWriter, options: ConvertOptions) {
    this.#reader = reader;
    this.#writer = writer;
    this.#options = options;
    this.#packer = new FramePacker(options.eventsPerFrame ?? Infinity);
  }

  async run(): Promise<ConvertResult> {
    for await (const { number, bytes, sourceGroups } of this.#reader.frames({ checksum: true })) {
      const frame = decodeFrame(bytes);
      if (isFrameFault(frame)) {
        this.#refuse(`frame ${number}: ${frame.reason}: ${frame.detail}`);
        this.#skippedFrames++;
      } else {
        this.#hadSourceGroups ||= sourceGroups !== undefined;
        await this.#convert(number, frame, sourceGroups);
      }
      const { readBytes, sizeBytes } = this.#reader;
      this.#options.onProgress?.({ readBytes, sizeBytes, events: this.#events });
    }
    await this.#write(this.#packer.finish());
    return {
      frames: this.#frames,
      events: this.#events,
      skippedFrames: this.#skippedFrames,
      skippedEvents: this.#skippedEvents,
      lost:
        this.#hadSourceGroups && formatOf(this.#writer.path) !== 'hdf5'
          ? [
              'source_group: only HDF5 says which events share a generated parton event; intervals will take all as independent',
            ]
          : [],
    };
  }

  async #convert(number: number, frame: L1Frame, sourceGroups: Float64Array | undefined): Promise<void> {
    const { encoding } = this.#options;
    const toHdf5 = formatOf(this.#writer.path) === 'hdf5';
    const target = encoding === 'keep' ? (toHdf5 ? Encoding.PHYS32 : frame.encoding) : Encoding[encoding];
    const {
      frame: converted,
      faults,
      faulty,
    } = target === frame.encoding ? { frame, faults: undefined, faulty: 0 } : reencode(frame, target);
    if (this.#options.eventsPerFrame === undefined && faulty === 0) {
      await this.#write({ frame: converted, sourceGroups });
      return;
    }
    for (let event = 0; event < frame.eventCount; event++) {
      if (faults !== undefined && faults[event] !== 0) {
        this.#refuse(`frame ${number}, event ${event}: ${faultAt(faults, event)}`);
        this.#skippedEvents++;
      } else {
        await this.#write(this.#packer.add(eventOf(converted, event, sourceGroups)));
      }
    }
    if (this.#options.eventsPerFrame === undefined) await this.#write(this.#packer.finish());
  }

  #refuse(problem: string): void {
    if (this.#options.skipFaulty === true) return;
    throw new TriggerError(
      'INPUT_REFUSED',
      `${this.#reader.path}: ${problem} (what is faulty can be left out with --skip-faulty)`,
    );
  }

  async #write(packed: PackedFrame | undefined): Promise<void> {
    if (packed === undefined) return;
    await this.#writer.write(packed.frame, packed.sourceGroups);
    this.#frames++;
    this.#events += packed.frame.eventCount;
  }
}
