/**
 * Where in a stream another menu takes over: a place that means the same to every process that reads the stream.
 */

/** Run and luminosity section; a frame lies in one. */
export interface Section {
  readonly run: number;
  readonly luminositySection: number;
}

/** What of a frame decides whether it lies behind a swap point. */
export interface FramePlace extends Section {
  /** Orbit of its first event. */
  readonly orbit: number;
}

/**
 * - `next-frame`: the next frame of every partition;
 * - `next-section`: the first luminosity section that no partition has come to;
 * - a section: its first frame, or the first one after it;
 * - an orbit of a run: the first frame that begins in it or later. A frame that began before is not cut;
 * - offsets: of each partition, by its number.
 */
export type SwapPoint =
  | { readonly kind: 'next-frame' }
  | { readonly kind: 'next-section' }
  | { readonly kind: 'section'; readonly section: Section }
  | { readonly kind: 'orbit'; readonly run: number; readonly orbit: number }
  | { readonly kind: 'offsets'; readonly offsets: ReadonlyMap<number, bigint> };

export const SWAP_POINT_FORMS =
  'next-frame, next-section, section:RUN/LS, orbit:RUN/ORBIT or offsets:PARTITION=OFFSET,...';

/** A swap point from its text; undefined where it is none of {@link SWAP_POINT_FORMS}. */
export function parseSwapPoint(text: string): SwapPoint | undefined {
  if (text === 'next-frame' || text === 'next-section') return { kind: text };
  const pair = /^(section|orbit):(\d{1,10})\/(\d{1,10})$/.exec(text);
  if (pair !== null) {
    const [run, second] = [Number(pair[2]), Number(pair[3])];
    if (run > 0xffffffff || second > 0xffffffff) return undefined;
    return pair[1] === 'orbit'
      ? { kind: 'orbit', run, orbit: second }
      : { kind: 'section', section: { run, luminositySection: second } };
  }
  if (!/^offsets:\d{1,9}=\d{1,18}(,\d{1,9}=\d{1,18})*$/.test(text)) return undefined;
  const named = text.slice('offsets:'.length).split(',');
  const offsets = new Map(
    named.map((one): [number, bigint] => {
      const [partition, offset] = one.split('=');
      return [Number(partition), BigInt(offset!)];
    }),
  );
  return offsets.size === named.length ? { kind: 'offsets', offsets } : undefined;
}

/** The text that {@link parseSwapPoint} takes. */
export function swapPointText(point: SwapPoint): string {
  switch (point.kind) {
    case 'section':
      return `section:${point.section.run}/${point.section.luminositySection}`;
    case 'orbit':
      return `orbit:${point.run}/${point.orbit}`;
    case 'offsets':
      return `offsets:${Array.from(point.offsets, ([partition, offset]) => `${partition}=${offset}`).join(',')}`;
    default:
      return point.kind;
  }
}

/** Whether one section comes after another, in the order of runs and sections. */
export function isAfter(one: Section, other: Section): boolean {
  return one.run > other.run || (one.run === other.run && one.luminositySection > other.luminositySection);
}
