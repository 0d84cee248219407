/**
 * From options to loaded models: bundles found, checked and given a threshold, a device chosen.
 */
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { flagName, type Settings } from '../config/options.js';
import { calibratedThreshold } from '../decide/threshold.js';
import { messageOf, TriggerError } from '../errors.js';
import { bundleName, loadBundle, type Bundle, type Quantisation } from '../model/bundle.js';
import { checkParity } from '../model/parity.js';
import { loadStudent, type Student } from '../model/student.js';
import type { Device } from '../model/session.js';
import type { Path } from '../score/menu.js';
import { ScorePool, type ScorePoolOptions } from '../score/score-pool.js';
import type { Happenings } from '../telemetry/happenings.js';
import type { Logger } from '../telemetry/logger.js';

/** The package's own folder: the checkout. */
export const PACKAGE_ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SHIPPED_BUNDLES = join(PACKAGE_ROOT, 'models', 'bundles');
export const DEFAULT_MODEL = 'nae-events-m';
const DEFAULT_TARGET_RATE = 1e-5;

export type ScoringSettings = Settings<
  'workers' | 'maxWorkerReplacements' | 'device' | 'quantise' | 'batchEvents' | 'inferenceRows'
>;
type CutSettings = Settings<'model' | 'targetRate' | 'threshold'> & Partial<Settings<'cascade'>>;

/** The folder of a bundle that is given by its folder, or by the name of a shipped one; undefined where there is none. */
export function bundleFolder(nameOrFolder: string): string | undefined {
  if (existsSync(join(nameOrFolder, 'manifest.json'))) return nameOrFolder;
  const shipped = join(SHIPPED_BUNDLES, nameOrFolder);
  return /^[\w.-]+$/.test(nameOrFolder) && existsSync(join(shipped, 'manifest.json')) ? shipped : undefined;
}

export async function openBundle(nameOrFolder: string, options: { uncalibrated?: boolean } = {}): Promise<Bundle> {
  const folder = bundleFolder(nameOrFolder);
  if (folder !== undefined) return loadBundle(folder, options);
  const names = existsSync(SHIPPED_BUNDLES) ? readdirSync(SHIPPED_BUNDLES).sort().join(', ') : 'none';
  throw new TriggerError(
    'USAGE',
    `--model ${nameOrFolder}: expected a folder with a manifest.json or one of the shipped bundles: ${names}`,
  );
}

/** The paths of a run: every model with its threshold. */
export async function openPaths(settings: CutSettings & Settings<'quantise'>): Promise<Path[]> {
  const { threshold, targetRate } = settings;
  const models = settings.model ?? [DEFAULT_MODEL];
  if (threshold !== undefined && targetRate !== undefined) {
    throw new TriggerError('USAGE', '--threshold and --target-rate exclude each other');
  }
  if (threshold !== undefined && threshold.length !== 1 && threshold.length !== models.length) {
    throw new TriggerError(
      'USAGE',
      `--threshold: expected one for all models or ${models.length}, received ${threshold.length}`,
    );
  }
  const bundles: Bundle[] = [];
  for (const model of models) bundles.push(await openBundle(model));
  const names = distinct(bundles.map(({ directory }) => bundleName(directory)));
  const calibratedRate = threshold === undefined ? (targetRate ?? DEFAULT_TARGET_RATE) : undefined;
  const students: (Student | undefined)[] = [];
  for (const bundle of bundles) students.push(settings.cascade === true ? await loadStudent(bundle) : undefined);
  return bundles.map((bundle, at) => ({
    name: names[at]!,
    bundle,
    threshold:
      calibratedRate === undefined
        ? Math.fround(threshold![at] ?? threshold![0]!)
        : calibratedThreshold(bundle, calibratedRate, settings.quantise).threshold,
    targetRate: calibratedRate,
    ...(students[at] === undefined ? {} : { student: students[at] }),
  }));
}

/** Names of bundles, in their order; those of one name stay apart by their place. */
export function distinct(names: readonly string[]): string[] {
  return names.map((name, at) => (names.indexOf(name) === names.lastIndexOf(name) ? name : `${name}#${at + 1}`));
}

export async function openForScoring(model: string): Promise<Path> {
  return forScoring(await openBundle(model, { uncalibrated: true }));
}

/** A path that accepts nothing: for scoring alone. */
export function forScoring(bundle: Bundle): Path {
  return { name: bundleName(bundle.directory), bundle, threshold: Infinity };
}

/** The path of `--beyond BUNDLE[@R]`: another trigger at a calibrated threshold. */
export async function openBeyond(
  given: string,
  quantise: Quantisation,
): Promise<{ path: Path; targetRate: number; threshold: number }> {
  const [, model, rate] = /^(.+?)(?:@([0-9.eE+-]+))?$/.exec(given)!;
  const targetRate = rate === undefined ? DEFAULT_TARGET_RATE : Number(rate);
  const bundle = await openBundle(model!);
  const { threshold } = calibratedThreshold(bundle, targetRate, quantise);
  return { path: forScoring(bundle), targetRate, threshold };
}

/** Choose the device, check every bundle's parity set on it, and start the workers. */
export async function openPool(
  paths: readonly Path[],
  settings: ScoringSettings,
  happenings: Happenings,
): Promise<ScorePool> {
  const device = await chooseDevice(paths, settings.device, happenings.log);
  return ScorePool.start(poolOptions(paths, settings, happenings, device));
}

/**
 * Start the workers of another menu beside a pool, on its device. They check the parity sets themselves: sessions of the
 * main thread would leave memory behind with every menu.
 */
export function openPoolBeside(
  running: ScorePool,
  paths: readonly Path[],
  settings: ScoringSettings,
  happenings: Happenings,
): Promise<ScorePool> {
  return ScorePool.start({
    ...poolOptions(paths, settings, happenings, running.device),
    generation: running.menu.generation + 1,
    checkParity: true,
  });
}

function poolOptions(
  paths: readonly Path[],
  settings: ScoringSettings,
  happenings: Happenings,
  device: Device,
): ScorePoolOptions {
  return {
    paths,
    happenings,
    maxReplacements: settings.maxWorkerReplacements,
    device,
    workers: settings.workers ?? availableParallelism(),
    quantisation: settings.quantise,
    batchEvents: settings.batchEvents,
    inferenceRows: settings.inferenceRows,
  };
}

/** ONNX Runtime says no more than that a library does not load. */
const CUDA_ADVICE = '`npm run install:cuda -- --check` says what is missing: provider, CUDA libraries or driver';

/** The device of `--device`. `auto` tries CUDA and falls back to the CPU, saying so once. */
async function chooseDevice(paths: readonly Path[], wanted: string, log: Logger): Promise<Device> {
  if (wanted !== 'cpu') {
    const cuda: Device = { kind: 'cuda', id: Number(wanted.split(':')[1] ?? 0) };
    try {
      await checkAll(paths, cuda);
      log.info({ device: `cuda:${cuda.id}` }, 'scoring on CUDA');
      return cuda;
    } catch (error) {
      if (!(error instanceof TriggerError) || error.code !== 'SCORING_FAILED') throw error;
      if (wanted !== 'auto') {
        const message = `--${flagName('device')} ${wanted}: ${messageOf(error)}; ${CUDA_ADVICE}`;
        throw new TriggerError('USAGE', message, { cause: error });
      }
      log.info({ reason: messageOf(error).split('\n')[0] }, 'no usable CUDA device; scoring on the CPU');
    }
  }
  const cpu: Device = { kind: 'cpu' };
  await checkAll(paths, cpu);
  return cpu;
}

async function checkAll(paths: readonly Path[], device: Device): Promise<void> {
  for (const { bundle, student } of paths) {
    await checkParity(bundle, device);
    if (student !== undefined) await checkParity(student.bundle, device);
  }
}
