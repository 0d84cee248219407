/**
 * `inspect`: what is inside a recording or a bundle, validated.
 */
import { existsSync } from 'node:fs';

import { TriggerError } from '../../errors.js';
import { loadBundle, type Bundle } from '../../model/bundle.js';
import { checkParity, type ParityReport } from '../../model/parity.js';
import { describeRecording, type Range, type RecordingDescription } from '../../recording/describe.js';
import { bundleFolder } from '../models.js';
import { progressOf } from '../progress.js';
import { grouped, report, table } from '../result.js';
import { COMMON_OPTIONS, defineVerb } from '../verb.js';

export const inspectVerb = defineVerb({
  name: 'inspect',
  summary: 'show and validate what is inside a recording or a model bundle',
  arguments: ['RECORDING|BUNDLE'],
  options: [...COMMON_OPTIONS],
  async run(settings, [path = '']) {
    const folder = bundleFolder(path);
    if (folder !== undefined) {
      const bundle = await loadBundle(folder);
      const parity = await checkParity(bundle, { kind: 'cpu' });
      const { manifest, calibrations } = bundle;
      await report(settings.json, { manifest, calibrations, parity }, bundleText(bundle, parity));
      return;
    }
    if (!existsSync(path)) {
      throw new TriggerError(
        'INPUT_REFUSED',
        `${path}: expected a recording, a bundle's folder or a shipped bundle's name`,
      );
    }
    const progress = progressOf(path, () => state);
    let state = { done: 0, total: 1 };
    let description: RecordingDescription;
    try {
      description = await describeRecording(path, ({ readBytes, sizeBytes }) => {
        state = { done: readBytes, total: sizeBytes };
      });
    } finally {
      progress.stop();
    }
    const { header, frameFaults, eventFaults, ...rest } = description;
    const result = {
      ...rest,
      labelNames: Object.fromEntries(header.labelNames),
      provenance: Object.fromEntries(header.provenance),
      frameFaults: Object.fromEntries(frameFaults),
      eventFaults: Object.fromEntries(eventFaults),
    };
    await report(settings.json, result, recordingText(description));
    if (description.firstProblem !== undefined) throw new TriggerError('INPUT_REFUSED', description.firstProblem);
  },
});

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
  const { header, eventsByEncoding, frameFaults, eventFaults } = description;
  const rangeText = (range: Range | undefined): string =>
    range === undefined ? 'none' : range.first === range.last ? `${range.first}` : `${range.first} .. ${range.last}`;
  const faults = [...frameFaults, ...eventFaults].map(([reason, count]) => `${reason} ${grouped(count)}`);
  const labels = description.labels.map(({ label, name, events }) => [`${label}`, name ?? '', grouped(events)]);
  if (description.unlabelledEvents > 0) labels.push(['none', '', grouped(description.unlabelledEvents)]);
  return [
    `${description.path}: ${description.format}, ${grouped(description.sizeBytes)} bytes`,
    `events    ${grouped(description.events)} in ${grouped(description.frames)} frames ` +
      `(HW32 ${grouped(eventsByEncoding.HW32)}, PHYS32 ${grouped(eventsByEncoding.PHYS32)})`,
    `runs      ${rangeText(description.runs)}, luminosity sections ${rangeText(description.luminositySections)}, ` +
      `orbits ${rangeText(description.orbits)}`,
    `faults    ${faults.length === 0 ? 'none' : faults.join(', ')}`,
    ...(labels.length === 0 ? [] : ['', table([['label', 'name', 'events'], ...labels])]),
    ...(header.provenance.size === 0 ? [] : ['', 'provenance']),
    ...Array.from(header.provenance, ([key, value]) => `  ${key}: ${shortened(value)}`),
  ].join('\n');
}

/** Settings of a generator run to pages; --json has them whole. */
function shortened(value: string): string {
  return value.length <= 120
    ? value
    : `${value.slice(0, 120)}... (${grouped(value.length)} characters, whole in --json)`;
}
