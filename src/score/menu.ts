/**
 * A trigger menu: the set of paths that decide together. A frame is decided wholly by one menu, and every batch
 * carries frames of one.
 */
import type { Bundle } from '../model/bundle.js';

/** One model with one threshold. */
export interface Path {
  readonly name: string;
  readonly bundle: Bundle;
  /** float32: an event is accepted if score >= threshold. */
  readonly threshold: number;
  /** The background efficiency that the threshold was calibrated for, where it comes from a calibration. */
  readonly targetRate?: number | undefined;
}

export interface Menu {
  /** 1 for the menu that a stream starts with, one more with every menu that it takes. */
  readonly generation: number;
  readonly paths: readonly Path[];
}
