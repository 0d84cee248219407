/**
 * `inspect`: what is inside a recording or a bundle, validated.
 */
import { statSync } from 'node:fs';

import { messageOf, TriggerError } from '../../errors.js';
import { loadBundle, type Bundle } from '../../model/bundle.js';
import { checkParity, type ParityReport } from '../../model/parity.js';
import { describeRecording, type RecordingDescription } from '../../recording/describe.js';
import { grouped, report, table } from '../result.js';
import { COMMON_OPTIONS, defineVerb } from '../verb.js';

export const inspectVerb = defineVerb({
  name: 'inspect',
  summary: 'show and validate what is inside a recording or a model bundle',
  arguments: ['RECORDING|BUNDLE'],
  options: [...COMMON_OPTIONS],
  async run(settings, [path = '']) {
    if (isFolder(path)) {
      const bundle = await loadBundle(path);
      const parity = await checkParity(bundle, { kind: 'cpu' });
      const { manifest, calibrations } = bundle;
      await report(settings.json, { manifest, calibrations, parity }, bundleText(bundle, parity));
      return;
    }
    const description = await describeRecording(path);
    await report(settings.json, description, recordingText(description));
    if (description.problem !== undefined) {
      throw new TriggerError('INPUT_REFUSED', description.problem);
    }
  },
});

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (error) {
    throw new TriggerError('INPUT_REFUSED', `expected a recording or a bundle: ${messageOf(error)}`, { cause: error });
  }
}

function bundleText({ manifest, calibrations }: Bundle, parity: ParityReport): string {
  const rows = calibrations.map((one) => [
    one.target_rate.toExponential(),
    one.threshold.toPrecision(8),
    `${grouped(one.passing)} of ${grouped(one.background_events)}`,
    `${one.low.toExponential(2)} .. ${one.high.toExponential(2)}`,
    one.background.name,
  ]);
  return [
    `${manifest.name} ${manifest.version}: ${manifest.score}`,
    `model     sha256 ${manifest.sha256}, as the manifest says`,
    `input     ${manifest.input_layout}`,
    `size      ${grouped(manifest.parameters)} parameters, ${grouped(manifest.flop_per_event)} FLOP per event`,
    `parity    ${parity.inputs} inputs, largest relative difference ${parity.maxRelativeDifference.toExponential(1)}`,
    '',
    calibrations.length === 0
      ? 'not calibrated: run "nae-trigger calibrate", or give --threshold'
      : table([['target rate', 'threshold', 'passing', '95 % of the true rate', 'background'], ...rows]),
  ].join('\n');
}

function recordingText(description: RecordingDescription): string {
  return JSON.stringify(description, null, 2);
}
