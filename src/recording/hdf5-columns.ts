import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';

import type { Dataset, File } from 'h5wasm/node';

import { messageOf, TriggerError } from '../errors.js';
import { OBJECTS_PER_EVENT } from '../event/layout.js';
import { hdf5Message, IDENTITY_COLUMNS, loadHdf5, PARTICLE_VALUES, type IdentityColumn } from './hdf5.js';
import type { RecordingHeader } from './recording.js';

/** Fewest events read at once. */
const BLOCK_EVENTS = 16_384;
/** Most events read at once (80 MB of float32), where chunks are larger still. */
const MAX_BLOCK_EVENTS = 262_144;

/** Filters compiled into the library: deflate, shuffle, fletcher32, nbit, scale-offset. */
const READABLE_FILTERS: ReadonlySet<number> = new Set([1, 2, 3, 5, 6]);

type Numbers = ArrayLike<number | bigint>;

/** Some events of a file, column by column. */
export interface Hdf5Block {
  /** pT [GeV], eta, phi [rad], class of 19 objects per event. */
  readonly particles: Float32Array | Float64Array;
  readonly labels: Uint8Array | undefined;
  readonly sourceGroups: Float64Array | undefined;
  readonly identities: Readonly<Record<IdentityColumn, Numbers>> | undefined;
}

/** The datasets of an ADC2021 file, checked when it is opened. */
export class Hdf5Columns {
  readonly path: string;
  readonly events: number;
  readonly sizeBytes: number;
  readonly header: RecordingHeader;
  /** Events to read at once: whole chunks, so that none is decompressed twice. */
  readonly blockEvents: number;
  readonly #file: File;
  readonly #particles: Dataset;
  readonly #process: Dataset | undefined;
  readonly #labelOfProcess: readonly number[];
  readonly #sourceGroup: Dataset | undefined;
  readonly #identities: Readonly<Record<IdentityColumn, Dataset>> | undefined;

  /** Open a file and check its layout; throws TriggerError INPUT_REFUSED or RECORDING_TRUNCATED. */
  static async open(path: string): Promise<Hdf5Columns> {
    const h5 = await loadHdf5();
    let size: number;
    let file: File;
    try {
      size = (await stat(path)).size;
    } catch (error) {
      throw new TriggerError('INPUT_REFUSED', `${path}: cannot be opened: ${messageOf(error)}`, { cause: error });
    }
    try {
      file = new h5.File(resolve(path), 'r');
    } catch (error) {
      const reason = hdf5Message(error);
      throw new TriggerError(
        reason.startsWith('truncated') ? 'RECORDING_TRUNCATED' : 'INPUT_REFUSED',
        `${path}: not a readable HDF5 file: ${reason}`,
        { cause: error },
      );
    }
    try {
      return new Hdf5Columns(path, size, file);
    } catch (error) {
      file.close();
      throw error instanceof TriggerError
        ? error
        : new TriggerError('INPUT_REFUSED', `${path}: ${hdf5Message(error)}`, { cause: error });
    }
  }

  private constructor(path: string, sizeBytes: number, file: File) {
    this.path = path;
    this.sizeBytes = sizeBytes;
    this.#file = file;
    const particles = this.#dataset('Particles');
    const shape = particles?.shape;
    if (
      particles === undefined ||
      shape?.length !== 3 ||
      shape[1] !== OBJECTS_PER_EVENT ||
      shape[2] !== PARTICLE_VALUES
    ) {
      const received = particles === undefined ? 'none' : `(${particles.shape?.join(', ') ?? ''})`;
      throw this.#refusal(
        `expected a dataset Particles of shape (N, ${OBJECTS_PER_EVENT}, ${PARTICLE_VALUES}), received ${received}`,
      );
    }
    if (particles.dtype !== '<f' && particles.dtype !== '<d') {
      throw this.#refusal(
        `Particles: expected little-endian float32 or float64, received type ${JSON.stringify(particles.dtype)}`,
      );
    }
    this.#particles = particles;
    this.events = shape[0] ?? 0;
    const chunk = particles.metadata.chunks?.[0] ?? BLOCK_EVENTS;
    this.blockEvents = Math.min(chunk * Math.ceil(BLOCK_EVENTS / chunk), MAX_BLOCK_EVENTS);

    this.#process = this.#column('process');
    this.#sourceGroup = this.#column('source_group');
    const identities = IDENTITY_COLUMNS.map((name) => [name, this.#column(name)] as const);
    this.#identities = identities.every(([, column]) => column !== undefined)
      ? (Object.fromEntries(identities) as Record<IdentityColumn, Dataset>)
      : undefined;

    const { labelOfProcess, labelNames } = this.#labels();
    this.#labelOfProcess = labelOfProcess;
    this.header = {
      labelNames,
      provenance: new Map(Object.entries(file.attrs).map(([name, attribute]) => [name, asText(attribute.json_value)])),
    };
  }

  /** Read events `first` to `first + count`. */
  read(first: number, count: number): Hdf5Block {
    const rows: [number, number] = [first, first + count];
    try {
      return {
        particles: this.#particles.slice([rows, [], []]) as Float32Array | Float64Array,
        labels: this.#process && this.#toLabels(this.#process.slice([rows]) as Numbers, first),
        sourceGroups: this.#sourceGroup && Float64Array.from(this.#sourceGroup.slice([rows]) as Numbers, Number),
        identities: this.#identities && {
          run: this.#identities.run.slice([rows]) as Numbers,
          luminosity_section: this.#identities.luminosity_section.slice([rows]) as Numbers,
          orbit: this.#identities.orbit.slice([rows]) as Numbers,
          bunch_crossing: this.#identities.bunch_crossing.slice([rows]) as Numbers,
        },
      };
    } catch (error) {
      if (error instanceof TriggerError) throw error;
      throw new TriggerError(
        'INPUT_REFUSED',
        `${this.path}: events ${first}..${first + count - 1} cannot be read: ${hdf5Message(error)}`,
        { cause: error },
      );
    }
  }

  close(): void {
    this.#file.close();
  }

  #dataset(name: string): Dataset | undefined {
    const found = this.#file.get(name);
    if (found === null || !('filters' in found)) return undefined;
    const dataset = found;
    const unreadable = dataset.filters.find((filter) => !READABLE_FILTERS.has(filter.id));
    if (unreadable !== undefined) {
      throw this.#refusal(
        `${name}: expected no compression or gzip, received ${unreadable.name || `filter ${unreadable.id}`}; ` +
          `"h5repack -f GZIP=4" rewrites it`,
      );
    }
    return dataset;
  }

  /** A dataset of one integer per event. */
  #column(name: string): Dataset | undefined {
    const dataset = this.#dataset(name);
    if (dataset === undefined) return undefined;
    const { shape, dtype } = dataset;
    if (
      shape?.length !== 1 ||
      shape[0] !== this.events ||
      typeof dtype !== 'string' ||
      !/^[<|]?[bhilqBHILQ]$/.test(dtype)
    ) {
      throw this.#refusal(
        `${name}: expected ${this.events} integers, received shape (${shape?.join(', ') ?? ''}) of type ${JSON.stringify(dtype)}`,
      );
    }
    return dataset;
  }

  /** Background processes are label 0, signal processes 1, 2, ... in the order of their names. */
  #labels(): { labelOfProcess: number[]; labelNames: Map<number, string> } {
    const labelNames = new Map<number, string>();
    if (this.#process === undefined) return { labelOfProcess: [], labelNames };
    const { attrs } = this.#process;
    const names = attrs.names?.value;
    const background = attrs.background?.value;
    if (!isStrings(names) || !isArray(background) || names.length !== background.length) {
      throw this.#refusal(
        `process: expected attributes names (strings) and background (0 or 1 for each name), ` +
          `received ${asText(attrs.names?.json_value ?? null)} and ${asText(attrs.background?.json_value ?? null)}`,
      );
    }
    const labelOfProcess: number[] = [];
    labelNames.set(0, 'background');
    for (let process = 0; process < names.length; process++) {
      const isBackground = Number(background[process]) !== 0;
      const label = isBackground ? 0 : Math.max(0, ...labelOfProcess) + 1;
      if (!isBackground) labelNames.set(label, names[process]!);
      labelOfProcess.push(label);
    }
    if (labelNames.size > 256) {
      throw this.#refusal(`process: expected at most 255 signal processes, received ${labelNames.size - 1}`);
    }
    return { labelOfProcess, labelNames };
  }

  #toLabels(processes: Numbers, first: number): Uint8Array {
    const labels = new Uint8Array(processes.length);
    for (let event = 0; event < processes.length; event++) {
      const label = this.#labelOfProcess[Number(processes[event])];
      if (label === undefined) {
        throw this.#refusal(
          `process of event ${first + event}: expected 0..${this.#labelOfProcess.length - 1}, received ${processes[event]!}`,
        );
      }
      labels[event] = label;
    }
    return labels;
  }

  #refusal(message: string): TriggerError {
    return new TriggerError('INPUT_REFUSED', `${this.path}: ${message}`);
  }
}

function isArray(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || ArrayBuffer.isView(value);
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
