/**
 * The models that a ledger names, found among those that are at hand.
 */
import { flagName, type Settings } from '../config/options.js';
import { TriggerError } from '../errors.js';
import type { DecidingStudent } from '../event/accepted-event.js';
import type { DecidingMenu } from '../ledger/ledger-lines.js';
import type { Bundle } from '../model/bundle.js';
import { loadStudent } from '../model/student.js';
import type { Path } from '../score/menu.js';
import { DEFAULT_MODEL, openBundle, openPaths } from './models.js';

/** A bundle that may have decided, and the float32 thresholds that it may have had. */
interface Candidate {
  readonly bundle: Bundle;
  readonly thresholds: readonly number[];
}

/**
 * What `--model` and `--threshold` or `--target-rate` allow: those thresholds, or where neither is said all calibrated
 * ones of a bundle.
 */
export async function openCandidates(
  settings: Settings<'model' | 'targetRate' | 'threshold' | 'quantise'>,
): Promise<readonly Candidate[]> {
  if (settings.threshold !== undefined || settings.targetRate !== undefined) {
    return (await openPaths(settings)).map(({ bundle, threshold }) => ({ bundle, thresholds: [threshold] }));
  }
  const bundles = await Promise.all((settings.model ?? [DEFAULT_MODEL]).map((model) => openBundle(model)));
  return bundles.map((bundle) => ({
    bundle,
    thresholds: bundle.calibrations
      .filter(({ quantisation }) => quantisation === settings.quantise)
      .map(({ threshold }) => Math.fround(threshold)),
  }));
}

/**
 * The paths of a menu as the ledger names them, with the bundles that have the same hashes.
 *
 * @throws TriggerError INPUT_REFUSED naming the bundle that is missing or the threshold that was not asked for
 */
export async function pathsOf(
  { paths, first }: DecidingMenu,
  candidates: readonly Candidate[],
  ledger: string,
): Promise<Path[]> {
  const found: Path[] = [];
  for (const { path, modelSha256, threshold, student } of paths) {
    const known = candidates.filter(({ bundle }) => bundle.manifest.sha256 === modelSha256);
    const place = `${ledger}: ${first} was decided by ${path}, model ${modelSha256}, threshold ${threshold}`;
    if (known.length === 0) {
      const given = candidates.map(({ bundle }) => `${bundle.directory} (${bundle.manifest.sha256})`).join(', ');
      throw new TriggerError('INPUT_REFUSED', `${place}: the bundle is missing: --model names ${given}`);
    }
    const allowed = known.flatMap(({ thresholds }) => thresholds);
    if (!allowed.includes(threshold)) {
      const options = `--${flagName('threshold')} or --${flagName('targetRate')}`;
      throw new TriggerError('INPUT_REFUSED', `${place}: expected ${allowed.join(' or ')}, see ${options}`);
    }
    const { bundle } = known[0]!;
    if (student === undefined) {
      found.push({ name: path, bundle, threshold });
      continue;
    }
    const loaded = await loadStudent(bundle);
    if (loaded.sha256 !== student.sha256 || loaded.cut !== student.cut) {
      const text = ({ sha256, cut }: DecidingStudent): string => `${sha256}, cut ${cut}`;
      const message = `${place}, after the student ${text(student)}: ${bundle.directory} has ${text(loaded)}`;
      throw new TriggerError('INPUT_REFUSED', message);
    }
    found.push({ name: path, bundle, threshold, student: loaded });
  }
  return found;
}
