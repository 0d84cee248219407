/**
 * What the HDF5 reader and writer share. Layout: the ADC2021 challenge (Govorkova et al., arXiv:2107.02157), dataset
 * `Particles` (N, 19, 4) of pT [GeV], eta, phi [rad], class; `process`, `source_group` and the identity columns are
 * additions of ours, which other readers do not mind.
 */
import type * as H5 from 'h5wasm/node';

import { messageOf } from '../errors.js';
import { OBJECT_CLASSES, OBJECTS_PER_EVENT } from '../event/layout.js';

/** pT, eta, phi and class of every object. */
export const PARTICLE_VALUES = 4;
export const PARTICLES_PER_EVENT = OBJECTS_PER_EVENT * PARTICLE_VALUES;

/** Class of the objects of each slot, as the ADC2021 files number them: 1 MET, 2 electron, 3 muon, 4 jet. */
export const CLASS_OF_SLOT: readonly number[] = OBJECT_CLASSES.flatMap(({ count }, index) =>
  Array.from({ length: count }, () => index + 1),
);

/** Columns that hold the identities of events. */
export const IDENTITY_COLUMNS = ['run', 'luminosity_section', 'orbit', 'bunch_crossing'] as const;
export type IdentityColumn = (typeof IDENTITY_COLUMNS)[number];

/** The library, loaded on first use: it starts a WebAssembly module, which other formats do not need. */
export async function loadHdf5(): Promise<typeof H5> {
  const h5 = await import('h5wasm/node');
  const module = await h5.ready;
  // Otherwise the library prints its failures and goes on with what it has.
  module.activate_throwing_error_handler();
  return h5;
}

/** The innermost cause out of the library's error stack. */
export function hdf5Message(error: unknown): string {
  const causes = [...messageOf(error).matchAll(/^ *#\d+: .* in (\w+)\(\): (.*)$/gm)];
  const [, call, reason] = causes.at(-1) ?? [];
  return call === undefined ? messageOf(error) : `${reason ?? ''} (${call})`;
}
