/**
 * `evaluate`: what models find, on a background and signal recordings or on one labelled recording.
 */
import type { Settings } from '../../config/options.js';
import { TriggerError } from '../../errors.js';
import { evaluateCascade } from '../../evaluate/cascade.js';
import { compare, evaluate, statisticsOf, type EvaluationOptions } from '../../evaluate/evaluate.js';
import { evaluateUnion, unionTail } from '../../evaluate/union.js';
import { loadStudent, type Student } from '../../model/student.js';
import { ScoredSample } from '../../sample/scored-sample.js';
import type { Path } from '../../score/menu.js';
import { cascadeText, comparisonText, evaluationText, unionText } from '../evaluation-text.js';
import { distinct, forScoring, openBeyond, openForScoring, openPool } from '../models.js';
import { report } from '../result.js';
import { scoreRecording, type ScoringTarget } from '../score-recording.js';
import { createHappenings } from '../stream.js';
import { COMMON_OPTIONS, defineVerb, SCORING_OPTIONS } from '../verb.js';

const SEED = 1;
const UNION_PATHS = { least: 2, most: 4 } as const;

export const evaluateVerb = defineVerb({
  name: 'evaluate',
  summary: 'AUC and signal efficiencies at fixed background efficiencies, with intervals',
  arguments: [],
  options: [
    ...COMMON_OPTIONS,
    ...SCORING_OPTIONS,
    ...(['model', 'background', 'signal', 'against', 'beyond', 'union', 'cascade', 'replicas'] as const),
  ],
  async run(settings, _positional, context) {
    const models = await openModels(settings);
    const { scored, beyond } = models;
    const paths = beyond === undefined ? scored : [...scored, beyond.path];
    const pool = await openPool(paths, settings, createHappenings(context));
    const sample = new ScoredSample(scored.length);
    try {
      const elsewhere: Pick<ScoringTarget, 'elsewhere'> = beyond === undefined ? {} : { elsewhere: beyond.threshold };
      await fill(sample, settings, (path, className) =>
        scoreRecording(path, pool, { sample, className, ...elsewhere }, settings, context),
      );
      const { result, text } = evaluateModels(models, sample, settings);
      await report(settings.json, result, text);
    } finally {
      sample.close();
      await pool.close();
    }
  },
});

type EvaluateSettings = Settings<
  'model' | 'background' | 'signal' | 'against' | 'beyond' | 'union' | 'cascade' | 'replicas' | 'quantise'
>;

interface Models {
  /** In the order of `--model`, behind them that of `--against`. */
  readonly paths: readonly Path[];
  /** How many of them `--model` named. */
  readonly named: number;
  /** Of each named model, with `--cascade`. */
  readonly students: readonly Student[];
  /** All that are scored into the sample: the paths, then the students as models of their own. */
  readonly scored: readonly Path[];
  readonly beyond: Awaited<ReturnType<typeof openBeyond>> | undefined;
}

async function openModels(settings: EvaluateSettings): Promise<Models> {
  const named = settings.model ?? [];
  if (named.length === 0) throw new TriggerError('USAGE', '--model: is required');
  if (settings.union && (named.length < UNION_PATHS.least || named.length > UNION_PATHS.most)) {
    throw new TriggerError('USAGE', `--union: expected 2 to 4 --model, received ${named.length}`);
  }
  const given = settings.against === undefined ? named : [...named, settings.against];
  const paths = await Promise.all(given.map((model) => openForScoring(model)));
  const students: Student[] = [];
  if (settings.cascade) {
    for (const { bundle } of paths.slice(0, named.length)) students.push(await loadStudent(bundle));
  }
  return {
    paths,
    named: named.length,
    students,
    scored: [...paths, ...students.map(({ bundle }) => forScoring(bundle))],
    beyond: settings.beyond === undefined ? undefined : await openBeyond(settings.beyond, settings.quantise),
  };
}

/** Score background and signals, and refuse a sample that lacks either. */
async function fill(
  sample: ScoredSample,
  { background, signal }: EvaluateSettings,
  score: (path: string, className: string | undefined) => Promise<number>,
): Promise<void> {
  await score(background, undefined);
  for (const entry of signal ?? []) {
    const at = entry.indexOf('=');
    const name = entry.slice(0, at);
    if (sample.classes.some((one) => one.name === name)) {
      throw new TriggerError('USAGE', `--signal ${entry}: there are two signals of this name`);
    }
    await score(entry.slice(at + 1), name);
  }
  if (sample.classes[0]!.events === 0) throw new TriggerError('INPUT_REFUSED', `${background}: no background events`);
  const empty = sample.classes.find(({ events }) => events === 0);
  if (empty !== undefined) throw new TriggerError('INPUT_REFUSED', `signal ${empty.name}: no events`);
  if (sample.classes.length === 1) {
    throw new TriggerError(
      'USAGE',
      `expected --signal NAME=RECORDING, or labelled signals in the background recording ${background}`,
    );
  }
}

/** The result as `--json` writes it, and the text. */
function evaluateModels(
  { paths, named, students, beyond }: Models,
  sample: ScoredSample,
  settings: EvaluateSettings,
): { result: object; text: string } {
  const options: EvaluationOptions = {
    replicas: settings.replicas,
    seed: SEED,
    pure: beyond !== undefined,
    tailLength: settings.union ? unionTail(sample.classes[0]!.events) : 0,
  };
  const statistics = statisticsOf(sample, options);
  const names = distinct(paths.map(({ bundle }) => bundle.manifest.name));
  const evaluated = names.map((name, at) => evaluate(name, at, sample, statistics, options));
  const singles = evaluated.slice(0, named);
  const other = settings.against === undefined ? undefined : evaluated.at(-1);
  const comparisons = other === undefined ? [] : singles.map((one) => compare(one, other));
  const union = settings.union ? evaluateUnion(sample, statistics, singles) : undefined;
  const cascades = students.map((student, at) =>
    evaluateCascade(sample, statistics, singles[at]!, { model: at, student: paths.length + at }, student),
  );
  const trigger =
    beyond === undefined
      ? undefined
      : { model: beyond.path.name, target_rate: beyond.targetRate, threshold: beyond.threshold };
  const result = {
    ...evaluated[0]!.result,
    further_models: evaluated.slice(1).map((one) => one.result),
    comparisons,
    ...(union === undefined ? {} : { union }),
    ...(students.length === 0 ? {} : { cascades }),
    ...(trigger === undefined ? {} : { beyond: trigger }),
  };
  const text = [
    ...evaluated.map((one) =>
      evaluationText(one.result, trigger && `${trigger.model} at ${trigger.target_rate.toExponential()}`),
    ),
    ...comparisons.map(comparisonText),
    ...(union === undefined ? [] : [unionText(union)]),
    ...cascades.map(cascadeText),
  ].join('\n\n');
  return { result, text };
}
