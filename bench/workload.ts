/** What the benchmarks run on: the shipped bundles, plausible events. */
import { readdirSync } from 'node:fs';

import type { L1Frame } from '#nae/event/frame.js';
import { VALUES_PER_EVENT } from '#nae/event/layout.js';
import { optimiseLate } from '#nae/late-optimising.js';
import { loadBundle, type Bundle } from '#nae/model/bundle.js';

import { frameOf, plausibleCodes } from '../test/pipeline/events.js';

// As nae-trigger does.
optimiseLate();

const BUNDLES = new URL('../../models/bundles/', import.meta.url);

/** Events of a frame, which is what a replay sends unless told otherwise. */
export const FRAME_EVENTS = 4096;

/** Distinct events; streams repeat them, with other orbits. */
const DISTINCT_FRAMES = 32;
export const DISTINCT_EVENTS = DISTINCT_FRAMES * FRAME_EVENTS;

export interface SizedBundle {
  readonly size: 's' | 'm';
  readonly name: string;
  readonly bundle: Bundle;
}

/** The shipped bundles of each size; a normalized autoencoder before a plain one. */
export async function shippedBundles(): Promise<SizedBundle[]> {
  const names = readdirSync(BUNDLES).sort();
  const bundles: SizedBundle[] = [];
  for (const size of ['s', 'm'] as const) {
    const name = names.findLast((one) => one.endsWith(`-${size}`));
    if (name === undefined) throw new Error(`${BUNDLES.pathname}: expected a bundle named *-${size}`);
    bundles.push({ size, name, bundle: await loadBundle(new URL(name, BUNDLES).pathname) });
  }
  return bundles;
}

/** Planar codes [DISTINCT_EVENTS, 57]. */
export function distinctCodes(): Int16Array {
  return plausibleCodes(DISTINCT_EVENTS, 40);
}

/** At least `events` HW32 events in frames of {@link FRAME_EVENTS}, a new orbit with each. */
export function* frames(codes: Int16Array, events: number): Generator<L1Frame> {
  const size = FRAME_EVENTS * VALUES_PER_EVENT;
  const distinct = Array.from({ length: DISTINCT_FRAMES }, (_, at) =>
    frameOf(codes.subarray(at * size, (at + 1) * size)),
  );
  for (let orbit = 0; orbit * FRAME_EVENTS < events; orbit++) yield { ...distinct[orbit % DISTINCT_FRAMES]!, orbit };
}
