import { rename, rm } from 'node:fs/promises';
import { resolve } from 'node:path';

import type { Dataset, File } from 'h5wasm/node';

import { TriggerError } from '../errors.js';
import { bunchCrossingOf, orbitOf, type L1Frame } from '../event/frame.js';
import { Encoding, OBJECTS_PER_EVENT, VALUES_PER_EVENT } from '../event/layout.js';
import { faultAt, reencode } from './encode-events.js';
import { CLASS_OF_SLOT, hdf5Message, loadHdf5, PARTICLE_VALUES, PARTICLES_PER_EVENT } from './hdf5.js';
import { partialPath, type RecordingHeader, type RecordingWriter } from './recording.js';

/** Rows of a chunk, and of what is collected before it is written. */
const CHUNK_EVENTS = 4096;
const GZIP_LEVEL = 4;

/** Attributes that describe the layout, not the recording. */
const PARTICLES_NAMES = ['Pt', 'Eta', 'Phi', 'Class'];
const PARTICLES_CLASSES = ['MET_class_1', 'Four_Ele_class_2', 'Four_Mu_class_3', 'Ten_Jet_class_4'];

type Column = Float32Array | Int16Array | Uint16Array | Uint32Array | BigInt64Array;

/**
 * Writes ADC2021 files: `Particles` (float32; HW32 events as the values of their codes), `Particles_Names`,
 * `Particles_Classes`, and beside them, one value per event, `run`, `luminosity_section`, `orbit`, `bunch_crossing`,
 * `process` (the label, named by its attributes) and `source_group`, the last two where they are known.
 */
export class Hdf5Writer implements RecordingWriter {
  readonly path: string;
  readonly #file: File;
  readonly #header: RecordingHeader;
  readonly #columns = new Map<string, GrowingDataset>();
  #frames = 0;
  #highestLabel = 0;

  private constructor(path: string, file: File, header: RecordingHeader) {
    this.path = path;
    this.#file = file;
    this.#header = header;
  }

  static async create(path: string, header: RecordingHeader): Promise<Hdf5Writer> {
    const h5 = await loadHdf5();
    const file = new h5.File(resolve(partialPath(path)), 'w');
    for (const [name, value] of header.provenance) file.create_attribute(name, value);
    file.create_dataset({ name: 'Particles_Names', data: PARTICLES_NAMES });
    file.create_dataset({ name: 'Particles_Classes', data: PARTICLES_CLASSES });
    const writer = new Hdf5Writer(path, file, header);
    writer.#addColumn('Particles', new Float32Array(CHUNK_EVENTS * PARTICLES_PER_EVENT), '<f', [
      OBJECTS_PER_EVENT,
      PARTICLE_VALUES,
    ]);
    for (const name of ['run', 'luminosity_section', 'orbit']) {
      writer.#addColumn(name, new Uint32Array(CHUNK_EVENTS), '<I');
    }
    writer.#addColumn('bunch_crossing', new Uint16Array(CHUNK_EVENTS), '<H');
    return writer;
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- the library works at once; its failures must reject
  async write(frame: L1Frame, sourceGroups?: Float64Array): Promise<void> {
    if (frame.eventCount === 0) return;
    const values = this.#valuesOf(frame);
    this.#checkColumn('process', frame.labels.length > 0, () => [new Int16Array(CHUNK_EVENTS), '<h']);
    this.#checkColumn('source_group', sourceGroups !== undefined, () => [new BigInt64Array(CHUNK_EVENTS), '<q']);
    for (let event = 0; event < frame.eventCount; event++) {
      const particles = this.#columns.get('Particles')!;
      particles.append((rows, at) => {
        writeParticles(values, event * VALUES_PER_EVENT, rows as Float32Array, at * PARTICLES_PER_EVENT);
      });
      this.#append('run', frame.run);
      this.#append('luminosity_section', frame.luminositySection);
      this.#append('orbit', orbitOf(frame, event));
      this.#append('bunch_crossing', bunchCrossingOf(frame, event));
      if (frame.labels.length > 0) this.#append('process', frame.labels[event]!);
      if (sourceGroups !== undefined) this.#append('source_group', BigInt(sourceGroups[event]!));
    }
    for (const label of frame.labels) if (label > this.#highestLabel) this.#highestLabel = label;
    this.#frames++;
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- as above
  async flush(): Promise<void> {
    this.#writeOut();
    this.#file.flush();
  }

  async close(): Promise<void> {
    this.#writeOut();
    this.#nameProcesses();
    this.#file.close();
    await rename(partialPath(this.path), this.path);
  }

  async discard(): Promise<void> {
    this.#file.close();
    await rm(partialPath(this.path), { force: true });
  }

  #valuesOf(frame: L1Frame): Float32Array {
    if (frame.encoding === Encoding.PHYS32) return new Float32Array(new Uint8Array(frame.objects).buffer);
    const { frame: physical, faults, faulty } = reencode(frame, Encoding.PHYS32);
    if (faulty > 0) {
      const event = faults.findIndex((fault) => fault !== 0);
      throw new TriggerError(
        'INPUT_REFUSED',
        `${this.path}: frame ${this.#frames}, event ${event} has no physical values: ${faultAt(faults, event)}`,
      );
    }
    return new Float32Array(physical.objects.buffer);
  }

  #addColumn(name: string, rows: Column, dtype: string, rest: readonly number[] = []): void {
    const dataset = this.#file.create_dataset({
      name,
      data: rows.subarray(0, 0),
      dtype,
      shape: [0, ...rest],
      maxshape: [null, ...rest],
      chunks: [CHUNK_EVENTS, ...rest],
      compression: 'gzip',
      compression_opts: GZIP_LEVEL,
    });
    this.#columns.set(name, new GrowingDataset(dataset, rows, rest));
  }

  #append(name: string, value: number | bigint): void {
    this.#columns.get(name)!.append((rows, at) => {
      rows[at] = value;
    });
  }

  /** A column is there from the first frame on, or not at all. */
  #checkColumn(name: string, present: boolean, make: () => [Column, string]): void {
    if (this.#frames === 0 && present && !this.#columns.has(name)) this.#addColumn(name, ...make());
    if (present !== this.#columns.has(name)) {
      throw new TriggerError(
        'INPUT_REFUSED',
        `${this.path}: frame ${this.#frames}: expected ${name} ${present ? 'unknown' : 'known'} as in the frames before, ` +
          `received the contrary; an HDF5 recording has it for all events or for none`,
      );
    }
  }

  #writeOut(): void {
    for (const column of this.#columns.values()) column.writeOut();
  }

  #nameProcesses(): void {
    if (!this.#columns.has('process')) return;
    const { labelNames } = this.#header;
    const count = Math.max(this.#highestLabel, ...labelNames.keys()) + 1;
    const process = this.#file.get('process') as Dataset;
    process.create_attribute(
      'names',
      Array.from(
        { length: count },
        (_, label) => labelNames.get(label) ?? (label === 0 ? 'background' : `label ${label}`),
      ),
    );
    process.create_attribute(
      'background',
      Int8Array.from({ length: count }, (_, label) => (label === 0 ? 1 : 0)),
    );
  }
}

/** pT, eta, phi of an event's objects with their class; an object without pT is absent: class 0. */
function writeParticles(values: Float32Array, from: number, rows: Float32Array, to: number): void {
  for (let slot = 0; slot < OBJECTS_PER_EVENT; slot++) {
    const pt = values[from + 3 * slot]!;
    rows[to + PARTICLE_VALUES * slot] = pt;
    rows[to + PARTICLE_VALUES * slot + 1] = values[from + 3 * slot + 1]!;
    rows[to + PARTICLE_VALUES * slot + 2] = values[from + 3 * slot + 2]!;
    rows[to + PARTICLE_VALUES * slot + 3] = pt === 0 ? 0 : CLASS_OF_SLOT[slot]!;
  }
}

/** A dataset that grows by whole chunks. */
class GrowingDataset {
  readonly #dataset: Dataset;
  readonly #rows: Column;
  readonly #rest: readonly number[];
  #written = 0;
  #held = 0;

  /** @param rows - room for the events of one chunk */
  constructor(dataset: Dataset, rows: Column, rest: readonly number[]) {
    this.#dataset = dataset;
    this.#rows = rows;
    this.#rest = rest;
  }

  append(put: (rows: Column, at: number) => void): void {
    put(this.#rows, this.#held++);
    if (this.#held === CHUNK_EVENTS) this.writeOut();
  }

  writeOut(): void {
    if (this.#held === 0) return;
    const end = this.#written + this.#held;
    const perEvent = this.#rest.reduce((product, length) => product * length, 1);
    try {
      this.#dataset.resize([end, ...this.#rest]);
      this.#dataset.write_slice(
        [[this.#written, end], ...this.#rest.map((length): [number, number] => [0, length])],
        this.#rows.slice(0, this.#held * perEvent),
      );
    } catch (error) {
      throw new TriggerError('SINK_FAILED', `${this.#dataset.path}: cannot be written: ${hdf5Message(error)}`, {
        cause: error,
      });
    }
    this.#written = end;
    this.#held = 0;
  }
}
