/**
 * Compares decisions that were taken anew with a ledger and with the accepted events that were published.
 */
import type { AcceptedEvent, SourcePosition } from '../event/accepted-event.js';
import { encodingName } from '../event/layout.js';
import { hex, type Difference, type Place } from './difference.js';
import type { DecidedFrame } from './frame-digest.js';
import type { LedgerLine, LedgerLines } from './ledger-lines.js';

/** Relative; what the scores of other processors, providers and versions may differ by. */
export const SCORE_TOLERANCE = 1e-4;

export class Verification {
  readonly ledger: LedgerLines;
  /** Frames that were compared, and their events that are accepted. */
  frames = 0;
  accepted = 0;
  /** Of the frames, those that were decided in another environment. */
  tolerated = 0;
  /** Events that only one of two environments accepts, their score being within the tolerance of the threshold. */
  borderline = 0;
  /** Frames of the input that the ledger does not reach yet, or begins behind. */
  outside = 0;
  readonly #environment: string | undefined;
  readonly #published = new Map<string, AcceptedEvent[]>();
  readonly #decided = new Set<string>();
  #repeatedEvents = 0;

  /**
   * @param published - accepted events that came from the source of the ledger
   * @param environment - where decisions are taken anew: those of the same are to be identical, others within
   *   {@link SCORE_TOLERANCE}; undefined: it cannot be told whether it is the same
   */
  constructor(ledger: LedgerLines, published: readonly AcceptedEvent[], environment: string | undefined) {
    this.ledger = ledger;
    this.#environment = environment;
    for (const event of published) {
      const { partition, offset } = event.position;
      if (offset < (ledger.inputFrom.get(partition) ?? 0n)) continue;
      const key = keyOf(event.position);
      const events = this.#published.get(key);
      if (events === undefined) this.#published.set(key, [event]);
      else events.push(event);
    }
  }

  get difference(): Difference | undefined {
    return this.ledger.differences.value;
  }

  /** Lines and accepted events that are there again, as delivery at least once allows. */
  get repeated(): number {
    return this.ledger.repeated + this.#repeatedEvents;
  }

  /** A frame of the input that the ledger has no line of. */
  addUnlisted(position: SourcePosition): void {
    if (this.ledger.isOutside(position.partition, position.offset)) this.outside++;
    else this.ledger.differences.differ(position, 'ledger', 'a line in the ledger', 'none');
  }

  /** A frame with a line, decided anew. */
  add({ position, input, accepted, deadLetters }: Omit<DecidedFrame, 'paths'>, digest: Uint8Array): void {
    const line = this.ledger.lineOf(position)!;
    const key = keyOf(position);
    this.#decided.add(key);
    this.frames++;
    this.accepted += accepted.length;
    const exact = line.environment === this.#environment;
    if (!exact) this.tolerated++;
    const isSameInput = hex(input) === hex(line.input);
    const found = this.#eachOnce(this.#published.get(key) ?? [], line);
    this.#published.delete(key);
    const decided = new Map(accepted.map((event) => [event.index, event]));
    for (const index of new Set([...decided.keys(), ...found.keys()])) {
      const what = isSameInput ? 'event' : 'input';
      this.#compare({ ...position, index }, what, decided.get(index), found.get(index), exact);
    }
    this.ledger.differences.expect(position, 'input', `checksum ${hex(input)}`, `checksum ${hex(line.input)}`);
    const described = (events: number, faults: number, sum: Uint8Array): string =>
      `${events} accepted events, ${faults} dead letters${exact ? `, digest ${hex(sum)}` : ''}`;
    this.ledger.differences.expect(
      position,
      'ledger',
      // Decided elsewhere, other events may be accepted at the threshold: the ledger counts those that were published.
      described(exact ? accepted.length : found.size, deadLetters.length, digest),
      described(line.accepted, line.faults, line.digest),
    );
  }

  /** The input is read to its end: what is left was not there. */
  end(): void {
    const { differences, mayRepeat } = this.ledger;
    for (const key of this.ledger.keys()) {
      if (!this.#decided.has(key)) differences.differ(placeOf(key), 'input', 'the frame of the line', 'no such frame');
    }
    for (const [key, events] of this.#published) {
      const place = placeOf(key);
      if (mayRepeat && this.ledger.isOutside(place.partition, place.offset)) {
        // Its process may have been killed before the ledger had it; whoever goes on repeats it.
        this.#repeatedEvents += events.length;
        continue;
      }
      for (const event of events) {
        differences.differ({ ...place, index: event.index }, 'ledger', 'a line in the ledger', described(event));
      }
    }
  }

  /** The published events of a frame by their index. */
  #eachOnce(published: readonly AcceptedEvent[], { mayRepeat }: LedgerLine): Map<number, AcceptedEvent> {
    const found = new Map<number, AcceptedEvent>();
    for (const event of published) {
      const before = found.get(event.index);
      if (before === undefined) found.set(event.index, event);
      else if (mayRepeat && described(before) === described(event)) this.#repeatedEvents++;
      else
        this.ledger.differences.differ(
          { ...event.position, index: event.index },
          'event',
          'published once',
          `again: ${described(event)}`,
        );
    }
    return found;
  }

  #compare(
    place: Place,
    what: 'event' | 'input',
    decided: AcceptedEvent | undefined,
    found: AcceptedEvent | undefined,
    exact: boolean,
  ): void {
    const expected = decided === undefined ? 'not accepted' : described(decided);
    const received = found === undefined ? 'not published' : described(found);
    if (expected === received) return;
    if (!exact && isWithinTolerance(decided, found)) {
      if (decided?.paths.length !== found?.paths.length) this.borderline++;
      return;
    }
    this.ledger.differences.differ(place, what, expected, received);
  }
}

/** Whether two environments may differ by this: in the scores a little, and in who accepts where a score is close. */
function isWithinTolerance(decided: AcceptedEvent | undefined, found: AcceptedEvent | undefined): boolean {
  if (decided !== undefined && found !== undefined && identity(decided) !== identity(found)) return false;
  const names = [...(decided?.paths ?? []), ...(found?.paths ?? [])].map(({ path }) => path);
  return names.every((name) => {
    const [ours, theirs] = [decided, found].map((event) => event?.paths.find(({ path }) => path === name));
    if (ours === undefined || theirs === undefined) {
      const { score, threshold } = (ours ?? theirs)!;
      return isClose(score, threshold);
    }
    return (
      isClose(ours.score, theirs.score) &&
      ours.modelSha256 === theirs.modelSha256 &&
      ours.threshold === theirs.threshold &&
      ours.student?.sha256 === theirs.student?.sha256 &&
      ours.student?.cut === theirs.student?.cut
    );
  });
}

function isClose(one: number, other: number): boolean {
  return Math.abs(one - other) <= SCORE_TOLERANCE * Math.max(Math.abs(one), Math.abs(other));
}

function described(event: AcceptedEvent): string {
  const decisions = event.paths.map(({ path, modelSha256, score, threshold, student }) => {
    const after = student === undefined ? '' : ` after ${student.sha256.slice(0, 12)} >= ${student.cut}`;
    return `${path} (${modelSha256.slice(0, 12)}${after}) ${score} >= ${threshold}`;
  });
  return `accepted by ${decisions.join(', ')}: ${identity(event)}`;
}

/** What an event is, without what was decided on it. */
export function identity(event: Omit<AcceptedEvent, 'paths' | 'position' | 'index'>): string {
  const { run, luminositySection, orbit, bunchCrossing, encoding, objects, label } = event;
  const truth = label === undefined ? '' : `, label ${label}`;
  return (
    `run ${run}, section ${luminositySection}, orbit ${orbit}, crossing ${bunchCrossing}${truth}, ` +
    `${encodingName(encoding)} ${hex(objects)}`
  );
}

function keyOf({ partition, offset }: SourcePosition): string {
  return `${partition}/${offset}`;
}

function placeOf(key: string): Place {
  const [partition, offset] = key.split('/');
  return { partition: Number(partition), offset: BigInt(offset!) };
}
