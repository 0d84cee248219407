/**
 * A trigger menu: the set of paths that decide together. A frame is decided wholly by one menu, and every batch
 * carries frames of one.
 */
import type { DecidingStudent } from '../event/accepted-event.js';
import type { Bundle } from '../model/bundle.js';
import type { Student } from '../model/student.js';

/** One model with one threshold. */
export interface Path {
  readonly name: string;
  readonly bundle: Bundle;
  /** float32: an event is accepted if score >= threshold. */
  readonly threshold: number;
  /** Rejects before the model scores. */
  readonly student?: Student;
  /** The background efficiency that the threshold was calibrated for, where it comes from a calibration. */
  readonly targetRate?: number | undefined;
}

/** The student of a path as decisions and the ledger name it, without its model. */
export function decidingStudent({ student }: Path): { student?: DecidingStudent } {
  return student === undefined ? {} : { student: { sha256: student.sha256, cut: student.cut } };
}

export interface Menu {
  /** 1 for the menu that a stream starts with, one more with every menu that it takes. */
  readonly generation: number;
  readonly paths: readonly Path[];
}
