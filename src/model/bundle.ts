/**
 * Model bundles: a folder with `model.onnx`, `manifest.json`, a parity set, calibrations and a card. Everything
 * that can be checked without running the model is checked here; a bundle that does not hold together is refused.
 */
import { createHash } from 'node:crypto';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';

import { messageOf, TriggerError } from '../errors.js';
import { VALUES_PER_EVENT } from '../event/layout.js';
import { graphProblem } from './graph-check.js';
import { parseUntrustedJson, readUntrusted } from './untrusted-file.js';

/** Closed list of input layouts; both are [N, 57] under the name `events`. */
const INPUT_LAYOUTS = ['hw-int16-planar', 'phys-f32'] as const;
export type InputLayout = (typeof INPUT_LAYOUTS)[number];

export const MODEL_INPUT = 'events';
export const MODEL_OUTPUT = 'score';

/** The grid that events are rounded to before scoring: the hardware's, or none (studies only). */
const QUANTISATIONS = ['hw32', 'none'] as const;
export type Quantisation = (typeof QUANTISATIONS)[number];

const BUNDLE_FORMAT = 1;
/** What the files of a bundle may have [bytes]. */
const MAX_BYTES = {
  'model.onnx': 256 * 1024 * 1024,
  'manifest.json': 1024 * 1024,
  'parity.json': 64 * 1024 * 1024,
  'calibration.json': 4 * 1024 * 1024,
} as const;
/** A name goes into every accepted event, log lines and metrics. */
const name = z
  .string()
  .max(200)
  .regex(/^\P{Cc}+$/u, 'expected a text of one line');

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 hexadecimal digits');

/** Of a student: what it was made for (model/student.ts). */
const cascadeSchema = z.object({
  teacher: z.object({ name, version: name, sha256 }),
  /** float32; what the student scores below it, it rejects. */
  cut: z.number().refine((value) => Number.isFinite(Math.fround(value)), 'expected a float32'),
  /** Fraction of the background that it does not reject, and of what recording. */
  survivors: z.number().min(0).max(1),
  background: z.object({ name: z.string(), sha256 }),
  background_events: z.int().positive(),
  /** Of the background that the teacher accepts at a rate, what reaches it; with the 95 % interval of their ratio. */
  kept: z.array(
    z.object({
      target_rate: z.number().positive().max(1),
      threshold: z.number(),
      accepted: z.int().nonnegative(),
      kept: z.int().nonnegative(),
      low: z.number().min(0),
      high: z.number().max(1),
    }),
  ),
});

const manifestSchema = z.looseObject({
  format: z.literal(BUNDLE_FORMAT),
  name,
  version: name,
  sha256,
  input_layout: z.enum(INPUT_LAYOUTS),
  score: z.string(),
  architecture: z.union([z.string(), z.record(z.string(), z.unknown())]),
  parameters: z.int().nonnegative(),
  flop_per_event: z.number().nonnegative(),
  training: z.record(z.string(), z.unknown()),
  cascade: cascadeSchema.exactOptional(),
});
type Manifest = z.infer<typeof manifestSchema>;

const calibrationSchema = z.object({
  target_rate: z.number().positive().max(1),
  /** float32; an event is accepted if its score is at or above it. */
  threshold: z.number().refine((value) => Number.isFinite(Math.fround(value)), 'expected a float32'),
  background_events: z.int().positive(),
  /** Independent events: fewer than background_events where events share a generated parton event. */
  effective_events: z.number().positive(),
  passing: z.int().nonnegative(),
  /** 95 % interval of the rate that the threshold truly keeps. */
  low: z.number().min(0),
  high: z.number().max(1),
  method: z.string(),
  /** Of thresholds from a tail fit (src/calibrate/pareto-tail.ts). */
  fit: z
    .object({
      tail_events: z.int().positive(),
      tail_start: z.number(),
      shape: z.number(),
      scale: z.number().positive(),
      design_effect: z.number().min(1),
      anderson_darling: z.number(),
      p_value: z.number().min(0).max(1),
    })
    .exactOptional(),
  background: z.object({ name: z.string(), sha256 }),
  quantisation: z.enum(QUANTISATIONS),
});
export type Calibration = z.infer<typeof calibrationSchema>;

const calibrationFileSchema = z.object({
  format: z.literal(BUNDLE_FORMAT),
  model_sha256: sha256,
  calibrations: z.array(calibrationSchema),
});
export type CalibrationFile = z.infer<typeof calibrationFileSchema>;

const paritySchema = z.object({
  tolerance: z.object({ relative: z.number().nonnegative(), absolute: z.number().nonnegative() }),
  inputs: z.array(z.array(z.number()).length(VALUES_PER_EVENT)).min(256),
  scores: z.array(z.number()),
});
/** Inputs in the bundle's layout, and the scores that the trainer gave them. */
export type ParitySet = z.infer<typeof paritySchema>;

export interface Bundle {
  readonly directory: string;
  readonly manifest: Manifest;
  /** Bytes of model.onnx, as hashed: sessions are created from these, never from the file again. */
  readonly model: Uint8Array;
  readonly calibrations: readonly Calibration[];
  readonly parity: ParitySet;
}

/**
 * Read a bundle and check its parts against one another. Throws INPUT_REFUSED naming file, expected and received.
 *
 * @param options - `uncalibrated` leaves calibration.json alone: whoever makes a new one must not be stopped by the old
 */
export async function loadBundle(directory: string, options: { uncalibrated?: boolean } = {}): Promise<Bundle> {
  const manifest = await readJson(join(directory, 'manifest.json'), MAX_BYTES['manifest.json'], manifestSchema);
  const modelPath = join(directory, 'model.onnx');
  const model = await readBytes(modelPath, MAX_BYTES['model.onnx']);
  const hash = createHash('sha256').update(model).digest('hex');
  if (hash !== manifest.sha256) {
    throw refused(modelPath, `expected sha256 ${manifest.sha256} (manifest.json), received ${hash}`);
  }
  const problem = graphProblem(model);
  if (problem !== undefined) throw refused(modelPath, problem);
  const parityPath = join(directory, 'parity.json');
  const parity = await readJson(parityPath, MAX_BYTES['parity.json'], paritySchema);
  if (parity.scores.length !== parity.inputs.length) {
    throw refused(parityPath, `expected ${parity.inputs.length} scores, received ${parity.scores.length}`);
  }
  const calibrations = options.uncalibrated === true ? [] : await readCalibrations(directory, hash);
  return { directory, manifest, model, calibrations, parity };
}

async function readCalibrations(directory: string, modelSha256: string): Promise<readonly Calibration[]> {
  const path = calibrationPath(directory);
  const file = await readJson(path, MAX_BYTES['calibration.json'], calibrationFileSchema, { optional: true });
  if (file === undefined) return [];
  if (file.model_sha256 !== modelSha256) {
    throw refused(
      path,
      `made for model ${file.model_sha256}, the bundle holds ${modelSha256}: run "nae-trigger calibrate" again`,
    );
  }
  return file.calibrations;
}

export function calibrationPath(directory: string): string {
  return join(directory, 'calibration.json');
}

/** Name of a bundle as paths and logs use it: its folder's name. */
export function bundleName(directory: string): string {
  return basename(resolve(directory));
}

async function readBytes(path: string, maxBytes: number): Promise<Uint8Array> {
  try {
    return await readUntrusted(path, maxBytes);
  } catch (error) {
    throw refused(path, `expected a readable file: ${messageOf(error)}`, error);
  }
}

async function readJson<T>(path: string, maxBytes: number, schema: z.ZodType<T>): Promise<T>;
async function readJson<T>(
  path: string,
  maxBytes: number,
  schema: z.ZodType<T>,
  options: { optional: true },
): Promise<T | undefined>;
async function readJson<T>(
  path: string,
  maxBytes: number,
  schema: z.ZodType<T>,
  options: { optional?: boolean } = {},
): Promise<T | undefined> {
  let bytes: Uint8Array;
  try {
    bytes = await readUntrusted(path, maxBytes);
  } catch (error) {
    if (options.optional === true && (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw refused(path, `expected a readable file: ${messageOf(error)}`, error);
  }
  let value: unknown;
  try {
    value = parseUntrustedJson(bytes);
  } catch (error) {
    throw refused(path, `expected JSON: ${messageOf(error)}`, error);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw refused(path, z.prettifyError(parsed.error).replaceAll('\n', ' '));
  return parsed.data;
}

function refused(path: string, what: string, cause?: unknown): TriggerError {
  return new TriggerError('INPUT_REFUSED', `${path}: ${what}`, { cause });
}
