/**
 * A frame between its offer and the moment its results are durable.
 */
import type { AcceptedEvent, DeadLetter, PathDecision } from '../event/accepted-event.js';
import {
  bunchCrossingOf,
  encodeFrame,
  labelOf,
  objectsOf,
  orbitOf,
  singleEventFrame,
  type FrameFault,
  type L1Frame,
} from '../event/frame.js';
import { EVENT_FAULTS, type EventFaultReason } from '../event/hardware-words.js';
import { CROSSINGS_PER_ORBIT, encodingName, ORBIT_MAX } from '../event/layout.js';
import type { DecidedFrame, DecidingPath } from '../ledger/frame-digest.js';
import { decidingStudent, type Menu } from '../score/menu.js';
import type { SourceRecord } from '../source/source.js';

/** The paths of a menu, as the ledger names them. */
export function decidingPaths({ paths }: Menu): DecidingPath[] {
  return paths.map((path) => ({
    path: path.name,
    modelSha256: path.bundle.manifest.sha256,
    threshold: path.threshold,
    ...decidingStudent(path),
  }));
}

/** What the objects around a result take, roughly. */
const RESULT_OVERHEAD_BYTES = 512;

export class FrameInFlight {
  readonly record: SourceRecord;
  /** The decoded frame, until its bytes are let go of; undefined for a frame fault. */
  wire: L1Frame | undefined;
  /** Undefined for a frame fault. */
  readonly eventCount: number | undefined;
  /** Bytes that the frame keeps from being reused: its own, or once it is decided what came of it. */
  heldBytes: number;
  /** The menu that decides the frame, all of it. */
  readonly menu: Menu;
  /** When the frame became available [ms since the epoch]: the origin of its latency. */
  readonly availableUnixMs: number;
  readonly accepted: AcceptedEvent[] = [];
  readonly deadLetters: DeadLetter[] = [];
  /** float32 [paths, events], only where someone observes all scores. */
  scores: Float32Array | undefined;
  /** Of the bytes as received, and of what was decided, where there is a ledger. */
  input: Uint8Array | undefined;
  digest: Uint8Array | undefined;
  done = false;
  /** Events not yet scored. */
  pending: number;

  constructor(record: SourceRecord, outcome: L1Frame | FrameFault, availableUnixMs: number, menu: Menu) {
    this.record = record;
    this.menu = menu;
    this.availableUnixMs = availableUnixMs;
    this.heldBytes = record.bytes?.length ?? 0;
    if ('reason' in outcome) {
      this.pending = 0;
      this.eventCount = undefined;
      this.deadLetters.push({
        kind: 'frame',
        reason: outcome.reason,
        detail: outcome.detail,
        position: record.position,
        index: undefined,
        bytes: record.bytes ?? new Uint8Array(0),
      });
    } else {
      this.wire = outcome;
      this.pending = outcome.eventCount;
      this.eventCount = outcome.eventCount;
    }
  }

  accept(index: number, paths: readonly PathDecision[]): void {
    const wire = this.wire!;
    this.accepted.push({
      run: wire.run,
      luminositySection: wire.luminositySection,
      orbit: orbitOf(wire, index),
      bunchCrossing: bunchCrossingOf(wire, index),
      encoding: wire.encoding,
      objects: objectsOf(wire, index),
      paths,
      position: this.record.position,
      index,
      label: labelOf(wire, index),
    });
  }

  /** All events are decided: results into event order, as the batches of a large frame finish in any. */
  settle(): void {
    this.accepted.sort((a, b) => a.index - b.index);
    this.deadLetters.sort((a, b) => (a.index ?? 0) - (b.index ?? 0));
    this.done = true;
  }

  /** What decided and what came of it, where there is a ledger. */
  get decided(): DecidedFrame | undefined {
    const { record, input, menu, accepted, deadLetters } = this;
    if (input === undefined) return undefined;
    return { position: record.position, input, paths: decidingPaths(menu), accepted, deadLetters };
  }

  /**
   * Keep what came of the frame and let go of its bytes, so that a frame that waits for its transaction holds little.
   * The views of the results become copies (`slice` of a Buffer would be another view).
   */
  letGo(): void {
    this.wire = undefined;
    this.heldBytes = RESULT_OVERHEAD_BYTES;
    for (const [at, event] of this.accepted.entries()) {
      this.accepted[at] = { ...event, objects: new Uint8Array(event.objects) };
      this.heldBytes += RESULT_OVERHEAD_BYTES + event.objects.length;
    }
    for (const [at, letter] of this.deadLetters.entries()) {
      this.deadLetters[at] = { ...letter, bytes: new Uint8Array(letter.bytes) };
      this.heldBytes += RESULT_OVERHEAD_BYTES + letter.bytes.length;
    }
    this.record.letGo?.();
  }

  /** Record that an event cannot be decided; the others of the frame go on. */
  fault(index: number, code: number): void {
    const wire = this.wire!;
    const crossing = bunchCrossingOf(wire, index);
    let reason = EVENT_FAULTS[code] as EventFaultReason;
    let detail = `event ${index} of the frame, ${encodingName(wire.encoding)}, bunch crossing ${crossing}`;
    if (reason === 'crossing-out-of-range') {
      if (orbitOf(wire, index) > ORBIT_MAX) {
        reason = 'orbit-out-of-range';
        detail = `event ${index} of the frame: expected an orbit up to ${ORBIT_MAX}, received ${orbitOf(wire, index)}`;
      } else {
        detail = `event ${index} of the frame: expected a bunch crossing in 1..${CROSSINGS_PER_ORBIT}, received ${crossing}`;
      }
    }
    this.deadLetters.push({
      kind: 'event',
      reason,
      detail,
      position: this.record.position,
      index,
      bytes: encodeFrame(singleEventFrame(wire, index)),
    });
  }
}
