/** The results of `evaluate` as people read them. */
import type { CascadeResult } from '../evaluate/cascade.js';
import { BACKGROUND_EFFICIENCIES, type Comparison, type Evaluation, type RatioAt } from '../evaluate/evaluate.js';
import type { UnionResult } from '../evaluate/union.js';
import { grouped, table } from './result.js';

const RATE_COLUMNS = BACKGROUND_EFFICIENCIES.map((rate) => `at ${rate.toExponential()}`);

function interval(value: { signal: number; low: number; high: number }): string {
  return `${value.signal.toPrecision(3)} [${value.low.toPrecision(2)}, ${value.high.toPrecision(2)}]`;
}

export function evaluationText(evaluation: Evaluation, beyond: string | undefined): string {
  const { model, background_events: events, effective_background_events: effective, signals, sculpting } = evaluation;
  const rows = signals.map((signal) => [
    signal.name,
    grouped(signal.events),
    `${signal.auc.toFixed(4)} ± ${signal.auc_error.toFixed(4)}`,
    ...signal.efficiency.map((point) => interval(point) + (point.few_background ? ' *' : '')),
  ]);
  const few = signals.some((signal) => signal.efficiency.some((point) => point.few_background));
  const lines = [
    `${model}: signal efficiency at background efficiencies, ${grouped(events)} background events` +
      ` (worth ${grouped(Math.round(effective))}); 95 % intervals`,
    '',
    table([['signal', 'events', 'AUC', ...RATE_COLUMNS], ...rows]),
  ];
  if (few) lines.push('', '* fewer than 10 background events above the threshold');
  if (beyond !== undefined) {
    const pure = signals.map(({ name, efficiency }) => [name, ...efficiency.map((point) => interval(point.pure!))]);
    lines.push('', table([[`not taken by ${beyond}`, ...RATE_COLUMNS], ...pure]));
  }
  const shapes = [
    ['HT', sculpting.ht],
    ['visible mass', sculpting.mass],
  ] as const;
  lines.push(
    '',
    table([
      ['background', 'correlation', 'mean [GeV]', ...RATE_COLUMNS.map((rate) => `mean ${rate}`)],
      ...shapes.map(([name, { spearman, mean_all: all, mean_passing: passing }]) => [
        name,
        spearman.toFixed(3),
        all.toFixed(1),
        ...passing.map(({ mean }) => mean?.toFixed(1) ?? '-'),
      ]),
    ]),
  );
  return lines.join('\n');
}

function bounded(value: number | null, low: number | null, high: number | null): string {
  const shown = (number: number | null): string => number?.toPrecision(3) ?? '-';
  return `${shown(value)} [${shown(low)}, ${shown(high)}]`;
}

function ratio({ ratio: value, low, high }: Omit<RatioAt, 'background'>): string {
  return bounded(value, low, high);
}

export function comparisonText({ model, against, signals }: Comparison): string {
  return [
    `${model} against ${against} on the same events: difference of AUC, ratio of efficiencies; paired 95 % intervals`,
    '',
    table([
      ['signal', 'AUC', ...RATE_COLUMNS],
      ...signals.map((signal) => [
        signal.name,
        `${signal.auc_difference.toFixed(4)} [${signal.low.toFixed(4)}, ${signal.high.toFixed(4)}]`,
        ...signal.efficiency_ratio.map(ratio),
      ]),
    ]),
  ].join('\n');
}

export function unionText({ models, rates, signals }: UnionResult): string {
  const paths = rates.flatMap((rate) =>
    rate.paths.map((path) => [
      rate.background.toExponential(),
      path.model,
      path.threshold.toPrecision(9),
      grouped(path.background_passing),
      grouped(path.alone),
      grouped(rate.background_passing) + (rate.few_background ? ' *' : ''),
    ]),
  );
  return [
    `Union of ${models.join(', ')}: thresholds for run --threshold, background events that pass`,
    '',
    table([['background', 'path', 'threshold', 'passing', 'only here', 'union'], ...paths]),
    '',
    table([
      ['signal', ...RATE_COLUMNS.flatMap((rate) => [rate, 'over the best single'])],
      ...signals.map(({ name, efficiency }) => [
        name,
        ...efficiency.flatMap((point) => [interval(point), `${ratio(point.over_best)} ${point.best_single}`]),
      ]),
    ]),
  ].join('\n');
}

export function cascadeText({ model, background_surviving: surviving, background, signals }: CascadeResult): string {
  const rows = [{ name: 'background', losses: background }, ...signals].map(({ name, losses }) => [
    name,
    ...losses.map(({ accepted, lost, fraction }) => {
      const counts = `${grouped(lost)} of ${grouped(accepted)}`;
      return fraction === null ? counts : `${counts}: ${bounded(fraction.lost, fraction.low, fraction.high)}`;
    }),
  ]);
  return [
    `${model} behind its student, which lets ${surviving.toPrecision(3)} of the background through: events that the model ` +
      'alone accepts and the student rejects; 95 % intervals',
    '',
    table([['', ...RATE_COLUMNS], ...rows]),
  ].join('\n');
}
