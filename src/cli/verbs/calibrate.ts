/**
 * `calibrate`: thresholds of a bundle from a background recording, written into the bundle.
 */
import { writeFile } from 'node:fs/promises';

import { calibrate } from '../../calibrate/calibrate.js';
import { messageOf, TriggerError } from '../../errors.js';
import { calibrationPath, type CalibrationFile } from '../../model/bundle.js';
import { openForScoring, openPool } from '../models.js';
import { grouped, report, table } from '../result.js';
import { backgroundOf, scoreRecording, sha256OfFile } from '../score-recording.js';
import { createHappenings } from '../stream.js';
import { COMMON_OPTIONS, defineVerb, SCORING_OPTIONS } from '../verb.js';

export const calibrateVerb = defineVerb({
  name: 'calibrate',
  summary: 'find the thresholds that keep given fractions of a background, and write them into the bundle',
  arguments: [],
  options: [...COMMON_OPTIONS, ...SCORING_OPTIONS, 'oneModel', 'background', 'targetRates'],
  async run(settings, _positional, context) {
    const path = await openForScoring(settings.oneModel);
    const pool = await openPool([path], settings, createHappenings(context));
    const { bundle } = path;
    try {
      const scored = await scoreRecording(settings.background, pool, settings, context);
      const calibrations = calibrate(
        {
          ...backgroundOf(scored),
          name: scored.name,
          sha256: await sha256OfFile(settings.background),
        },
        settings.targetRates,
        settings.quantise,
      );
      const file: CalibrationFile = { format: 1, model_sha256: bundle.manifest.sha256, calibrations };
      const target = calibrationPath(bundle.directory);
      try {
        await writeFile(target, `${JSON.stringify(file, null, 2)}\n`);
      } catch (error) {
        throw new TriggerError('SINK_FAILED', `${target}: ${messageOf(error)}`, { cause: error });
      }
      const rows = calibrations.map((one) => [
        one.target_rate.toExponential(),
        one.threshold.toPrecision(8),
        grouped(one.passing),
        `${one.low.toExponential(2)} .. ${one.high.toExponential(2)}`,
        one.passing < 10 ? 'fewer than 10 background events above' : '',
      ]);
      const first = calibrations[0]!;
      const text = [
        `${path.name} on ${first.background.name}: ${grouped(first.background_events)} background events` +
          ` (worth ${grouped(Math.round(first.effective_events))} independent ones), ${grouped(scored.faults)} faults`,
        '',
        table([['target rate', 'threshold', 'passing', '95 % of the true rate', ''], ...rows]),
        '',
        `written to ${target}`,
      ].join('\n');
      await report(settings.json, { calibrations }, text);
    } finally {
      await pool.close();
    }
  },
});
