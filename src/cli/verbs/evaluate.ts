/**
 * `evaluate`: what models find, on a background and signal recordings or on one labelled recording.
 */
import { TriggerError } from '../../errors.js';
import { evaluateCascade } from '../../evaluate/cascade.js';
import { compare, evaluate, statisticsOf, type Evaluated, type EvaluationOptions } from '../../evaluate/evaluate.js';
import { evaluateUnion, unionTail } from '../../evaluate/union.js';
import { loadStudent, type Student } from '../../model/student.js';
import { ScoredSample } from '../../sample/scored-sample.js';
import { cascadeText, comparisonText, evaluationText, unionText } from '../evaluation-text.js';
import { forScoring, openBeyond, openForScoring, openPool } from '../models.js';
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
    const named = settings.model ?? [];
    if (named.length === 0) throw new TriggerError('USAGE', '--model: is required');
    if (settings.union && (named.length < UNION_PATHS.least || named.length > UNION_PATHS.most)) {
      throw new TriggerError('USAGE', `--union: expected 2 to 4 --model, received ${named.length}`);
    }
    const given = settings.against === undefined ? named : [...named, settings.against];
    const paths = await Promise.all(given.map((model) => openForScoring(model)));
    const names = paths.map(({ bundle }) => bundle.manifest.name);
    const students: Student[] = [];
    if (settings.cascade)
      for (const { bundle } of paths.slice(0, named.length)) students.push(await loadStudent(bundle));
    // Scored as models of their own: what a student would keep from its teacher is to be known.
    const scored = [...paths, ...students.map(({ bundle }) => forScoring(bundle))];
    const beyond = settings.beyond === undefined ? undefined : await openBeyond(settings.beyond, settings.quantise);
    const pool = await openPool(
      beyond === undefined ? scored : [...scored, beyond.path],
      settings,
      createHappenings(context),
    );
    const sample = new ScoredSample(scored.length);
    try {
      const score = (path: string, className: string | undefined): Promise<number> => {
        const elsewhere: Pick<ScoringTarget, 'elsewhere'> = beyond === undefined ? {} : { elsewhere: beyond.threshold };
        return scoreRecording(path, pool, { sample, className, ...elsewhere }, settings, context);
      };
      await score(settings.background, undefined);
      for (const entry of settings.signal ?? []) {
        const at = entry.indexOf('=');
        const name = entry.slice(0, at);
        if (sample.classes.some((one) => one.name === name)) {
          throw new TriggerError('USAGE', `--signal ${entry}: there are two signals of this name`);
        }
        await score(entry.slice(at + 1), name);
      }
      const [background] = sample.classes;
      if (background!.events === 0) {
        throw new TriggerError('INPUT_REFUSED', `${settings.background}: no background events`);
      }
      const empty = sample.classes.find(({ events }) => events === 0);
      if (empty !== undefined) throw new TriggerError('INPUT_REFUSED', `signal ${empty.name}: no events`);
      if (sample.classes.length === 1) {
        throw new TriggerError(
          'USAGE',
          `expected --signal NAME=RECORDING, or labelled signals in the background recording ${settings.background}`,
        );
      }
      const options: EvaluationOptions = {
        replicas: settings.replicas,
        seed: SEED,
        pure: beyond !== undefined,
        tailLength: settings.union ? unionTail(background!.events) : 0,
      };
      const statistics = statisticsOf(sample, options);
      const evaluated: Evaluated[] = [];
      for (const [at, name] of names.entries()) {
        // Two bundles of one name stay apart by their place.
        const unique = names.indexOf(name) === names.lastIndexOf(name) ? name : `${name}#${at + 1}`;
        evaluated.push(evaluate(unique, at, sample, statistics, options));
      }
      const singles = evaluated.slice(0, named.length);
      const other = settings.against === undefined ? undefined : evaluated.at(-1);
      const comparisons = other === undefined ? [] : singles.map((one) => compare(one, other));
      const union = settings.union ? evaluateUnion(sample, statistics, singles) : undefined;
      const cascades = students.map((student, at) => {
        const columns = { model: at, student: paths.length + at };
        return evaluateCascade(sample, statistics, singles[at]!, columns, student);
      });
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
      await report(settings.json, result, text);
    } finally {
      sample.close();
      await pool.close();
    }
  },
});
