/**
 * `evaluate`: what a model finds, on a background and signal recordings or on one labelled recording.
 */
import { effectiveEvents } from '../../decide/intervals.js';
import { TriggerError } from '../../errors.js';
import { BACKGROUND_EFFICIENCIES, evaluate, type Evaluation } from '../../evaluate/evaluate.js';
import { openForScoring, openPool } from '../models.js';
import { grouped, report, table } from '../result.js';
import { backgroundOf, scoreRecording, type ScoredRecording } from '../score-recording.js';
import { createHappenings } from '../stream.js';
import { COMMON_OPTIONS, defineVerb, SCORING_OPTIONS } from '../verb.js';

export const evaluateVerb = defineVerb({
  name: 'evaluate',
  summary: 'AUC and signal efficiencies at fixed background efficiencies, with intervals',
  arguments: [],
  options: [...COMMON_OPTIONS, ...SCORING_OPTIONS, 'oneModel', 'background', 'signal'],
  async run(settings, _positional, context) {
    const path = await openForScoring(settings.oneModel);
    const pool = await openPool([path], settings, createHappenings(context));
    try {
      const background = await scoreRecording(settings.background, pool, settings, context);
      const signals = labelledSignals(background);
      for (const entry of settings.signal ?? []) {
        const at = entry.indexOf('=');
        const name = entry.slice(0, at);
        if (signals.has(name)) throw new TriggerError('USAGE', `--signal ${entry}: there are two signals of this name`);
        const { scores } = await scoreRecording(entry.slice(at + 1), pool, settings, context);
        signals.set(name, scores);
      }
      if (signals.size === 0) {
        throw new TriggerError(
          'USAGE',
          `expected --signal NAME=RECORDING, or a background recording with labelled signals; ${background.name} has none`,
        );
      }
      const { scores, eventsPerGroup } = backgroundOf(background);
      if (scores.length === 0) throw new TriggerError('INPUT_REFUSED', `${settings.background}: no background events`);
      const effective = eventsPerGroup === undefined ? scores.length : effectiveEvents(eventsPerGroup);
      const evaluation = evaluate(path.bundle.manifest.name, scores, effective, signals);
      await report(settings.json, evaluation, evaluationText(evaluation));
    } finally {
      await pool.close();
    }
  },
});

/** Scores of the signals that a recording labels, by their names. */
function labelledSignals({ labels, labelNames, scores }: ScoredRecording): Map<string, Float32Array> {
  const signals = new Map<string, Float32Array>();
  if (labels === undefined) return signals;
  for (const label of Array.from(new Set(labels)).sort((a, b) => a - b)) {
    if (label === 0) continue;
    signals.set(
      labelNames.get(label) ?? `label ${label}`,
      scores.filter((_, event) => labels[event] === label),
    );
  }
  return signals;
}

function evaluationText({ model, background_events: events, signals }: Evaluation): string {
  const header = ['signal', 'events', 'AUC', ...BACKGROUND_EFFICIENCIES.map((rate) => `at ${rate.toExponential()}`)];
  const rows = signals.map((signal) => [
    signal.name,
    grouped(signal.events),
    `${signal.auc.toFixed(4)} ± ${signal.auc_error.toFixed(4)}`,
    ...signal.efficiency.map(
      (point) =>
        `${point.signal.toPrecision(3)} [${point.low.toPrecision(2)}, ${point.high.toPrecision(2)}]` +
        (point.background_passing < 10 ? ' *' : ''),
    ),
  ]);
  const few = signals.some((signal) => signal.efficiency.some((point) => point.background_passing < 10));
  return [
    `${model}: signal efficiency at background efficiencies, ${grouped(events)} background events; 95 % intervals`,
    '',
    table([header, ...rows]),
    ...(few ? ['', '* fewer than 10 background events above the threshold'] : []),
  ].join('\n');
}
