/**
 * The student of a bundle: a model that costs little and rejects what its teacher cannot accept (`models/run distil`). It is
 * a bundle of its own, in the folder `student` of its teacher's.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { TriggerError } from '../errors.js';
import type { DecidingStudent } from '../event/accepted-event.js';
import { loadBundle, type Bundle } from './bundle.js';

export interface Student extends DecidingStudent {
  readonly bundle: Bundle;
}

const FOLDER = 'student';

/**
 * @throws TriggerError USAGE where the bundle has no student, INPUT_REFUSED where it has one of another teacher
 */
export async function loadStudent(teacher: Bundle): Promise<Student> {
  const folder = join(teacher.directory, FOLDER);
  if (!existsSync(join(folder, 'manifest.json'))) {
    throw new TriggerError(
      'USAGE',
      `--cascade: ${teacher.directory} has no student: expected one in ${folder}, which models/run distil makes`,
    );
  }
  const bundle = await loadBundle(folder, { uncalibrated: true });
  const { sha256, cascade } = bundle.manifest;
  if (cascade === undefined) {
    throw new TriggerError('INPUT_REFUSED', `${folder}/manifest.json: expected the manifest of a student (cascade)`);
  }
  if (cascade.teacher.sha256 !== teacher.manifest.sha256) {
    throw new TriggerError(
      'INPUT_REFUSED',
      `${folder}: expected a student of model ${teacher.manifest.sha256}, received one of ${cascade.teacher.sha256}: ` +
        `run models/run distil again`,
    );
  }
  return { bundle, sha256, cut: Math.fround(cascade.cut) };
}
