/**
 * `calibrate`: thresholds of a bundle from a background recording, written into the bundle.
 */
import { writeFile } from 'node:fs/promises';
import { basename } from 'node:path';

import { calibrate, scoresNeeded, type BackgroundSample } from '../../calibrate/calibrate.js';
import { effectiveEvents } from '../../decide/intervals.js';
import { messageOf, TriggerError } from '../../errors.js';
import { calibrationPath, type CalibrationFile } from '../../model/bundle.js';
import { groupSizes } from '../../sample/group-sizes.js';
import { ROW, ScoredSample } from '../../sample/scored-sample.js';
import { byDescendingScore, scoreOfKey, SORTED } from '../../sample/sorted.js';
import { openForScoring, openPool } from '../models.js';
import { grouped, report, table } from '../result.js';
import { scoreRecording, sha256OfFile } from '../score-recording.js';
import { createHappenings } from '../stream.js';
import { COMMON_OPTIONS, defineVerb, SCORING_OPTIONS } from '../verb.js';

export const calibrateVerb = defineVerb({
  name: 'calibrate',
  summary: 'find the thresholds that keep given fractions of a background, and write them into the bundle',
  arguments: [],
  options: [...COMMON_OPTIONS, ...SCORING_OPTIONS, 'oneModel', 'background', 'targetRates', 'method'],
  async run(settings, _positional, context) {
    const path = await openForScoring(settings.oneModel);
    const pool = await openPool([path], settings, createHappenings(context));
    const { bundle } = path;
    const sample = new ScoredSample(1);
    try {
      const target = { sample, className: undefined, backgroundOnly: true };
      const faults = await scoreRecording(settings.background, pool, target, settings, context);
      const needed = scoresNeeded(sample.rows, settings.targetRates, settings.method);
      const background = {
        ...highest(sample, needed),
        name: basename(settings.background),
        sha256: await sha256OfFile(settings.background),
      };
      const calibrations = calibrate(background, settings.targetRates, settings.quantise, settings.method);
      const file: CalibrationFile = { format: 1, model_sha256: bundle.manifest.sha256, calibrations };
      const written = calibrationPath(bundle.directory);
      try {
        await writeFile(written, `${JSON.stringify(file, null, 2)}\n`);
      } catch (error) {
        throw new TriggerError('SINK_FAILED', `${written}: ${messageOf(error)}`, { cause: error });
      }
      const rows = calibrations.map((one) => [
        one.target_rate.toExponential(),
        one.threshold.toPrecision(8),
        grouped(one.passing),
        `${one.low.toExponential(2)} .. ${one.high.toExponential(2)}`,
        one.method,
        one.passing < 10 ? 'fewer than 10 background events above' : '',
      ]);
      const first = calibrations[0]!;
      const fit = calibrations.find((one) => one.fit !== undefined)?.fit;
      const text = [
        `${path.name} on ${first.background.name}: ${grouped(first.background_events)} background events` +
          ` (worth ${grouped(Math.round(first.effective_events))} independent ones), ${grouped(faults)} faults`,
        '',
        table([['target rate', 'threshold', 'passing', '95 % of the true rate', 'method', ''], ...rows]),
        '',
        ...(fit === undefined
          ? []
          : [
              `tail: ${grouped(fit.tail_events)} events above ${fit.tail_start.toPrecision(6)}, shape ${fit.shape.toFixed(3)}, ` +
                `scale ${fit.scale.toPrecision(4)}; Anderson-Darling ${fit.anderson_darling.toFixed(3)}, p = ${fit.p_value.toFixed(3)}`,
              '',
            ]),
        `written to ${written}`,
      ].join('\n');
      await report(settings.json, { calibrations }, text);
    } finally {
      sample.close();
      await pool.close();
    }
  },
});

/** The highest scores of a sample, and what its events are worth. */
function highest(sample: ScoredSample, count: number): Omit<BackgroundSample, 'name' | 'sha256'> {
  const [{ events, grouped: known }] = sample.classes as [(typeof sample.classes)[number]];
  const falling = new Float32Array(count);
  const groups = new Uint32Array(count);
  let at = 0;
  for (const row of byDescendingScore(sample, (floats, offset) => floats[offset + ROW.scores]!)) {
    if (at === count) break;
    falling[at] = scoreOfKey(row.words[row.at + SORTED.key]!);
    groups[at++] = row.words[row.at + SORTED.group]!;
  }
  const effective = known ? effectiveEvents(groupSizes(sample, 0)) : events;
  return { falling, groups: known ? groups : undefined, events, effective };
}
