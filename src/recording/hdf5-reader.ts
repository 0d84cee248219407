import { setImmediate as nextTurn } from 'node:timers/promises';

import { TriggerError } from '../errors.js';
import { encodeFrame } from '../event/frame.js';
import { Encoding, OBJECTS_PER_EVENT, PHYS32_BYTES, VALUES_PER_EVENT } from '../event/layout.js';
import { ReplayerClock } from '../event/replayer-clock.js';
import { FramePacker, type PackedFrame } from './frame-packer.js';
import { CLASS_OF_SLOT, PARTICLE_VALUES, PARTICLES_PER_EVENT } from './hdf5.js';
import { Hdf5Columns, type Hdf5Block } from './hdf5-columns.js';
import type { RecordedFrame, RecordingHeader, RecordingReader } from './recording.js';

interface Hdf5ReaderOptions {
  /** Events of a frame; frames that end with a luminosity section are shorter. */
  readonly eventsPerFrame: number;
  /** Run number given to events of files without identities. */
  readonly run: number;
}

/**
 * Reads ADC2021 files as PHYS32 frames.
 *
 * Values are taken as they are (float64 is rounded to float32); rounding to the hardware grid and the checks of
 * single events come later, as for any other frame. An object with pT 0 is absent, whatever its class. A present
 * object whose class column names another kind than its slot means that the objects are in another order: refused.
 * Class 0, which files without classes have throughout, is not checked.
 *
 * Events have identities where the file has all of the columns `run`, `luminosity_section`, `orbit` and
 * `bunch_crossing`; otherwise a {@link ReplayerClock} gives them. Reading blocks the thread for one block of 16384
 * events at a time: the HDF5 library works at once or not at all.
 */
export class Hdf5Reader implements RecordingReader {
  readonly format = 'hdf5';
  readonly #columns: Hdf5Columns;
  readonly #options: Hdf5ReaderOptions;
  #eventsRead = 0;

  private constructor(columns: Hdf5Columns, options: Hdf5ReaderOptions) {
    this.#columns = columns;
    this.#options = options;
  }

  static async open(path: string, options: Hdf5ReaderOptions): Promise<Hdf5Reader> {
    return new Hdf5Reader(await Hdf5Columns.open(path), options);
  }

  get path(): string {
    return this.#columns.path;
  }

  get header(): RecordingHeader {
    return this.#columns.header;
  }

  get eventCount(): number {
    return this.#columns.events;
  }

  get sizeBytes(): number {
    return this.#columns.sizeBytes;
  }

  /** In proportion to the events read. */
  get readBytes(): number {
    return this.eventCount === 0 ? this.sizeBytes : Math.round((this.#eventsRead / this.eventCount) * this.sizeBytes);
  }

  async *frames(): AsyncGenerator<RecordedFrame, undefined> {
    const { events, blockEvents } = this.#columns;
    const packer = new FramePacker(this.#options.eventsPerFrame);
    const clock = new ReplayerClock(this.#options.run);
    let number = 0;
    const record = ({ frame, sourceGroups }: PackedFrame): RecordedFrame => ({
      number: number++,
      bytes: encodeFrame(frame),
      sourceGroups,
    });
    for (let first = 0; first < events; first += blockEvents) {
      await nextTurn();
      let block: Hdf5Block;
      let objects: Uint8Array;
      const count = Math.min(blockEvents, events - first);
      try {
        block = this.#columns.read(first, count);
        objects = this.#objectsOf(block.particles, first);
      } catch (error) {
        const whole = packer.finish();
        if (whole !== undefined) yield record(whole);
        throw error;
      }
      this.#eventsRead = first + count;
      for (let event = 0; event < count; event++) {
        const packed = packer.add({
          encoding: Encoding.PHYS32,
          ...(block.identities === undefined ? identityFrom(clock) : identityIn(block.identities, event)),
          objects: objects.subarray(event * PHYS32_BYTES, (event + 1) * PHYS32_BYTES),
          label: block.labels?.[event],
          sourceGroup: block.sourceGroups?.[event],
          createdUnixNs: 0n,
        });
        clock.advance();
        if (packed !== undefined) yield record(packed);
      }
    }
    const last = packer.finish();
    if (last !== undefined) yield record(last);
  }

  /** The objects in PHYS32: the class column checked and dropped. */
  #objectsOf(particles: Float32Array | Float64Array, first: number): Uint8Array {
    const events = particles.length / PARTICLES_PER_EVENT;
    const values = new Float32Array(events * VALUES_PER_EVENT);
    let from = 0;
    let to = 0;
    for (let event = 0; event < events; event++) {
      for (let slot = 0; slot < OBJECTS_PER_EVENT; slot++) {
        const objectClass = particles[from + 3]!;
        if (objectClass !== CLASS_OF_SLOT[slot] && objectClass !== 0 && particles[from] !== 0) {
          throw new TriggerError(
            'INPUT_REFUSED',
            `${this.path}: event ${first + event}, object ${slot}: expected class ${CLASS_OF_SLOT[slot]!}, or 0 where absent, ` +
              `received ${objectClass}: objects must be MET, 4 electrons, 4 muons, 10 jets`,
          );
        }
        values[to] = particles[from]!;
        values[to + 1] = particles[from + 1]!;
        values[to + 2] = particles[from + 2]!;
        from += PARTICLE_VALUES;
        to += 3;
      }
    }
    return new Uint8Array(values.buffer);
  }

  close(): Promise<void> {
    this.#columns.close();
    return Promise.resolve();
  }
}

interface Identity {
  readonly run: number;
  readonly luminositySection: number;
  readonly orbit: number;
  readonly bunchCrossing: number;
}

function identityFrom({ run, luminositySection, orbit, bunchCrossing }: ReplayerClock): Identity {
  return { run, luminositySection, orbit, bunchCrossing };
}

function identityIn(columns: NonNullable<Hdf5Block['identities']>, event: number): Identity {
  return {
    run: Number(columns.run[event]),
    luminositySection: Number(columns.luminosity_section[event]),
    orbit: Number(columns.orbit[event]),
    bunchCrossing: Number(columns.bunch_crossing[event]),
  };
}
