/**
 * Events into frames: consecutive events that may share a frame are put into one.
 */
import { bunchCrossingOf, labelOf, objectsOf, orbitOf, type L1Frame } from '../event/frame.js';
import { bytesPerEvent, type Encoding } from '../event/layout.js';

/** One event on its way into a frame. */
export interface PackedEvent {
  readonly encoding: Encoding;
  readonly run: number;
  readonly luminositySection: number;
  readonly orbit: number;
  readonly bunchCrossing: number;
  /** The event's objects; must stay as they are until the frame that holds them has been returned. */
  readonly objects: Uint8Array;
  readonly label: number | undefined;
  readonly sourceGroup: number | undefined;
  readonly createdUnixNs: bigint;
}

export interface PackedFrame {
  readonly frame: L1Frame;
  readonly sourceGroups: Float64Array | undefined;
}

/** Orbit deltas are 16 bits wide. */
const MAX_ORBIT_DELTA = 0xffff;

/**
 * Packs events, in the order they come, into frames of at most `eventsPerFrame`. A frame ends early where the next
 * event differs in run, luminosity section or encoding, where labels or source groups start or stop being known,
 * and where its orbit lies before the frame's first or too far behind it. A frame's creation time is that of its
 * first event.
 */
export class FramePacker {
  readonly #eventsPerFrame: number;
  #events: PackedEvent[] = [];

  constructor(eventsPerFrame: number) {
    this.#eventsPerFrame = eventsPerFrame;
  }

  /** Take an event; returns the frame before it where that ends here. */
  add(event: PackedEvent): PackedFrame | undefined {
    const first = this.#events[0];
    const ends = first !== undefined && (this.#events.length >= this.#eventsPerFrame || !fitsBehind(first, event));
    const frame = ends ? this.finish() : undefined;
    this.#events.push(event);
    return frame;
  }

  /** The frame begun, if there is one. */
  finish(): PackedFrame | undefined {
    const events = this.#events;
    if (events.length === 0) return undefined;
    this.#events = [];
    return pack(events);
  }
}

function fitsBehind(first: PackedEvent, event: PackedEvent): boolean {
  const delta = event.orbit - first.orbit;
  return (
    event.run === first.run &&
    event.luminositySection === first.luminositySection &&
    event.encoding === first.encoding &&
    delta >= 0 &&
    delta <= MAX_ORBIT_DELTA &&
    (event.label === undefined) === (first.label === undefined) &&
    (event.sourceGroup === undefined) === (first.sourceGroup === undefined)
  );
}

function pack(events: readonly PackedEvent[]): PackedFrame {
  const first = events[0]!;
  const count = events.length;
  const size = bytesPerEvent(first.encoding);
  const objects = new Uint8Array(count * size);
  const bunchCrossings = new Uint8Array(2 * count);
  const orbitDeltas = new Uint8Array(sameOrbit(events) ? 0 : 2 * count);
  const labels = new Uint8Array(first.label === undefined ? 0 : count);
  const sourceGroups = first.sourceGroup === undefined ? undefined : new Float64Array(count);
  for (let index = 0; index < count; index++) {
    const event = events[index]!;
    objects.set(event.objects, index * size);
    bunchCrossings[2 * index] = event.bunchCrossing;
    bunchCrossings[2 * index + 1] = event.bunchCrossing >> 8;
    if (orbitDeltas.length > 0) {
      const delta = event.orbit - first.orbit;
      orbitDeltas[2 * index] = delta;
      orbitDeltas[2 * index + 1] = delta >> 8;
    }
    if (event.label !== undefined) labels[index] = event.label;
    if (sourceGroups !== undefined) sourceGroups[index] = event.sourceGroup!;
  }
  const { encoding, run, luminositySection, orbit, createdUnixNs } = first;
  return {
    frame: {
      encoding,
      run,
      luminositySection,
      orbit,
      eventCount: count,
      bunchCrossings,
      orbitDeltas,
      objects,
      labels,
      createdUnixNs,
    },
    sourceGroups,
  };
}

function sameOrbit(events: readonly PackedEvent[]): boolean {
  return events.every((event) => event.orbit === events[0]!.orbit);
}

/** One event of a frame, as a packer takes it; its objects are a view of the frame's. */
export function eventOf(frame: L1Frame, index: number, sourceGroups: Float64Array | undefined): PackedEvent {
  return {
    encoding: frame.encoding,
    run: frame.run,
    luminositySection: frame.luminositySection,
    orbit: orbitOf(frame, index),
    bunchCrossing: bunchCrossingOf(frame, index),
    objects: objectsOf(frame, index),
    label: labelOf(frame, index),
    sourceGroup: sourceGroups?.[index],
    createdUnixNs: frame.createdUnixNs,
  };
}
