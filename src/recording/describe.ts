/**
 * What a recording holds, from reading all of it.
 */
import { TriggerError } from '../errors.js';
import { bunchCrossingOf, decodeFrame, isFrameFault, labelOf, orbitOf, type L1Frame } from '../event/frame.js';
import { EVENT_FAULTS, eventFaultCode } from '../event/hardware-words.js';
import { encodingName, isBunchCrossing, ORBIT_MAX } from '../event/layout.js';
import { codesOf } from './encode-events.js';
import { openRecording } from './open.js';
import type { RecordedFrame, RecordingFormat, RecordingHeader } from './recording.js';

export interface Range {
  readonly first: number;
  readonly last: number;
}

export interface RecordingDescription {
  readonly path: string;
  readonly format: RecordingFormat;
  readonly sizeBytes: number;
  readonly header: RecordingHeader;
  readonly frames: number;
  readonly events: number;
  readonly eventsByEncoding: Readonly<Record<'HW32' | 'PHYS32', number>>;
  /** Events per truth label; `name` is undefined where the header does not name it. */
  readonly labels: readonly { label: number; name: string | undefined; events: number }[];
  readonly unlabelledEvents: number;
  /** Lowest and highest of all events; undefined without any. */
  readonly runs: Range | undefined;
  readonly luminositySections: Range | undefined;
  readonly orbits: Range | undefined;
  /** Frames that cannot be decoded, and events that cannot be decided, by reason. */
  readonly frameFaults: ReadonlyMap<string, number>;
  readonly eventFaults: ReadonlyMap<string, number>;
  /** What is wrong first, with its place: a frame, an event, or where the file breaks off. */
  readonly firstProblem: string | undefined;
}

/** Read a recording through and describe it; throws only where it cannot be opened. */
export async function describeRecording(
  path: string,
  onProgress?: (progress: { readBytes: number; sizeBytes: number }) => void,
): Promise<RecordingDescription> {
  const reader = await openRecording(path);
  const census = new Census(reader.header);
  try {
    for await (const recorded of reader.frames({ checksum: true })) {
      census.add(recorded);
      onProgress?.({ readBytes: reader.readBytes, sizeBytes: reader.sizeBytes });
    }
  } catch (error) {
    if (!(error instanceof TriggerError)) throw error;
    census.problem(error.message);
  } finally {
    await reader.close();
  }
  const { format, sizeBytes, header } = reader;
  return { path, format, sizeBytes, header, ...census.result() };
}

class Census {
  readonly #header: RecordingHeader;
  readonly #eventsByEncoding = { HW32: 0, PHYS32: 0 };
  readonly #labels = new Map<number, number>();
  readonly #frameFaults = new Map<string, number>();
  readonly #eventFaults = new Map<string, number>();
  readonly #runs = new Extent();
  readonly #luminositySections = new Extent();
  readonly #orbits = new Extent();
  #frames = 0;
  #events = 0;
  #unlabelled = 0;
  #firstProblem: string | undefined;

  constructor(header: RecordingHeader) {
    this.#header = header;
  }

  problem(text: string): void {
    this.#firstProblem ??= text;
  }

  add({ number, bytes }: RecordedFrame): void {
    this.#frames++;
    const frame = decodeFrame(bytes);
    if (isFrameFault(frame)) {
      count(this.#frameFaults, frame.reason);
      this.problem(`frame ${number}: ${frame.reason}: ${frame.detail}`);
      return;
    }
    this.#events += frame.eventCount;
    this.#eventsByEncoding[encodingName(frame.encoding)] += frame.eventCount;
    if (frame.eventCount > 0) {
      this.#runs.include(frame.run);
      this.#luminositySections.include(frame.luminositySection);
    }
    this.#addEvents(number, frame);
  }

  #addEvents(number: number, frame: L1Frame): void {
    const { faults } = codesOf(frame);
    for (let event = 0; event < frame.eventCount; event++) {
      this.#orbits.include(orbitOf(frame, event));
      const label = labelOf(frame, event);
      if (label === undefined) this.#unlabelled++;
      else count(this.#labels, label);
      let fault = faults[event]!;
      if (fault === 0 && !isBunchCrossing(bunchCrossingOf(frame, event)))
        fault = eventFaultCode('crossing-out-of-range');
      if (fault === 0 && orbitOf(frame, event) > ORBIT_MAX) fault = eventFaultCode('orbit-out-of-range');
      if (fault === 0) continue;
      const reason = EVENT_FAULTS[fault]!;
      count(this.#eventFaults, reason);
      this.problem(`frame ${number}, event ${event}: ${reason}`);
    }
  }

  result(): Omit<RecordingDescription, 'path' | 'format' | 'sizeBytes' | 'header'> {
    return {
      frames: this.#frames,
      events: this.#events,
      eventsByEncoding: this.#eventsByEncoding,
      labels: [...this.#labels]
        .sort(([a], [b]) => a - b)
        .map(([label, events]) => ({ label, name: this.#header.labelNames.get(label), events })),
      unlabelledEvents: this.#unlabelled,
      runs: this.#runs.range,
      luminositySections: this.#luminositySections.range,
      orbits: this.#orbits.range,
      frameFaults: this.#frameFaults,
      eventFaults: this.#eventFaults,
      firstProblem: this.#firstProblem,
    };
  }
}

class Extent {
  range: Range | undefined;

  include(value: number): void {
    const { first, last } = this.range ?? { first: value, last: value };
    if (this.range === undefined || value < first || value > last) {
      this.range = { first: Math.min(first, value), last: Math.max(last, value) };
    }
  }
}

function count<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
