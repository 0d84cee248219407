/**
 * What a ledger says, frame by frame: its entries read in order, their chains checked, their menus told apart.
 */
import type { SourcePosition } from '../event/accepted-event.js';
import { FirstDifference, hex } from './difference.js';
import { chainOf, LEDGER_FORMAT, type LedgerEntry, type LedgerFrame } from './entry.js';
import type { DecidingPath } from './frame-digest.js';

/** A line of the ledger, with what its entry says of it. */
export interface LedgerLine extends LedgerFrame {
  /** Where it was decided. */
  readonly environment: string;
  /** Delivered at least once: it, and what came of it, may be there again. */
  readonly mayRepeat: boolean;
  readonly decidedBy: DecidingMenu;
}

/** The paths that decided together, whatever their generation was called in which process. */
export interface DecidingMenu {
  readonly paths: readonly DecidingPath[];
  /** The first frame that it decided, in the order of the ledger. */
  readonly first: string;
  frames: number;
}

/** A frame from which on a partition was decided by another menu. */
export interface MenuSwap {
  readonly at: string;
  readonly from: string;
  readonly to: string;
}

/** How far the lines of a partition reach. */
interface Bounds {
  first: bigint;
  last: bigint;
  /** The first line begins a chain: what is before it was never in the ledger. */
  readonly begins: boolean;
}

export interface LedgerOptions {
  /** Of one source, in the order of the ledger within each partition. */
  readonly entries: readonly LedgerEntry[];
  /** Only the lines of this sink are of interest; entries of others belong to the chains. */
  readonly sink: string;
  /** Whether the ledger is there from its beginning; false where retention has taken that. */
  readonly fromBeginning: boolean;
  /** The first offset that the input still holds of a partition. Default: all of them. */
  readonly inputFrom?: ReadonlyMap<number, bigint>;
}

export class LedgerLines {
  /** In the order in which they came into the ledger. */
  readonly menus: DecidingMenu[] = [];
  /** Lines of frames that the input does not hold any more. */
  expired = 0;
  /** Lines that are there again, as delivery at least once allows. */
  repeated = 0;
  readonly #lines = new Map<string, LedgerLine>();
  readonly #bounds = new Map<number, Bounds>();
  /** Entries that do not continue another one, and lines that contradict each other. */
  readonly differences = new FirstDifference();
  /** Some of it was delivered at least once. */
  readonly mayRepeat: boolean;
  readonly inputFrom: ReadonlyMap<number, bigint>;

  constructor({ entries, sink, fromBeginning, inputFrom = new Map<number, bigint>() }: LedgerOptions) {
    const { differences } = this;
    this.inputFrom = inputFrom;
    this.mayRepeat = entries.some((entry) => entry.sink === sink && entry.atLeastOnce);
    // Several ends of chains for a partition, where several groups or runs have written.
    const ends = new Map<number, Set<string>>();
    for (const entry of entries) {
      const { partition, previous, frames, chain } = entry;
      const place = { partition, offset: frames[0]?.offset ?? 0n };
      const open = ends.get(partition);
      if (open === undefined) ends.set(partition, new Set([hex(chain)]));
      const continues = previous.length === 0 || open?.delete(hex(previous)) === true;
      if (!continues && (open !== undefined || fromBeginning)) {
        differences.differ(
          place,
          'ledger',
          `an entry that ends with the chain ${hex(previous)}`,
          'none before this one',
        );
      }
      differences.expect(place, 'ledger', `chain ${hex(chainOf(previous, frames))}`, `chain ${hex(chain)}`);
      open?.add(hex(chain));
      if (entry.sink === sink) this.#read(entry, inputFrom.get(partition) ?? 0n);
    }
  }

  lineOf({ partition, offset }: SourcePosition): LedgerLine | undefined {
    return this.#lines.get(`${partition}/${offset}`);
  }

  /** `PARTITION/OFFSET` of every line. */
  keys(): IterableIterator<string> {
    return this.#lines.keys();
  }

  /** Whether a frame is behind the last line of its partition, or before the beginning of its chain. */
  isOutside(partition: number, offset: bigint): boolean {
    const bounds = this.#bounds.get(partition);
    return bounds === undefined || offset > bounds.last || (offset < bounds.first && bounds.begins);
  }

  /** Where menus took over, partition by partition. */
  swaps(): MenuSwap[] {
    const byPartition = new Map<number, { offset: bigint; menu: DecidingMenu }[]>();
    for (const [key, { offset, decidedBy }] of this.#lines) {
      const partition = Number(key.split('/')[0]);
      const lines = byPartition.get(partition) ?? [];
      byPartition.set(partition, lines);
      lines.push({ offset, menu: decidedBy });
    }
    return [...byPartition]
      .sort(([a], [b]) => a - b)
      .flatMap(([partition, lines]) => {
        lines.sort((a, b) => (a.offset < b.offset ? -1 : 1));
        return lines.flatMap(({ offset, menu }, at) => {
          const before = lines[at - 1]?.menu;
          if (before === undefined || before === menu) return [];
          return [{ at: `${partition}/${offset}`, from: menuText(before.paths), to: menuText(menu.paths) }];
        });
      });
  }

  #read(entry: LedgerEntry, inputFrom: bigint): void {
    const { partition, previous, frames, environment, atLeastOnce, format } = entry;
    const menus = new Map<number, DecidingMenu>();
    for (const frame of frames) {
      const { offset, menu } = frame;
      const place = { partition, offset };
      const bounds = this.#bounds.get(partition);
      if (bounds === undefined)
        this.#bounds.set(partition, { first: offset, last: offset, begins: previous.length === 0 });
      else if (offset > bounds.last) bounds.last = offset;
      else if (offset < bounds.first) bounds.first = offset;
      if (format !== LEDGER_FORMAT) {
        this.differences.differ(place, 'ledger', `an entry of format ${LEDGER_FORMAT}`, `format ${format}`);
      }
      if (offset < inputFrom) {
        this.expired++;
        continue;
      }
      const key = `${partition}/${offset}`;
      const decidedBy = menus.get(menu) ?? this.#menu(entry, menu, key);
      menus.set(menu, decidedBy);
      const before = this.#lines.get(key);
      if (before === undefined) {
        decidedBy.frames++;
        this.#lines.set(key, { ...frame, environment, mayRepeat: atLeastOnce, decidedBy });
      } else if (atLeastOnce && hex(before.digest) === hex(frame.digest)) this.repeated++;
      else {
        this.differences.differ(
          place,
          'ledger',
          `one line, digest ${hex(before.digest)}`,
          `another, ${hex(frame.digest)}`,
        );
      }
    }
  }

  #menu({ paths }: LedgerEntry, generation: number, first: string): DecidingMenu {
    const mine = paths
      .filter(({ menu }) => menu === generation)
      .map(({ path, modelSha256, threshold, student }) => ({
        path,
        modelSha256,
        threshold,
        ...(student === undefined ? {} : { student }),
      }));
    const known = this.menus.find((menu) => menuText(menu.paths) === menuText(mine));
    if (known !== undefined) return known;
    const menu = { paths: mine, first, frames: 0 };
    this.menus.push(menu);
    return menu;
  }
}

/** `PATH SHA256 >= THRESHOLD, ...`, in a cascade with ` after SHA256 >= CUT` */
function menuText(paths: readonly DecidingPath[]): string {
  return paths
    .map(({ path, modelSha256, threshold, student }) => {
      const after = student === undefined ? '' : ` after ${student.sha256} >= ${student.cut}`;
      return `${path} ${modelSha256} >= ${threshold}${after}`;
    })
    .join(', ');
}
