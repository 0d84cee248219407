/**
 * `run`: the emulator between a source and a sink.
 */
import { TriggerError } from '../../errors.js';
import { topicOf } from '../kafka.js';
import type { MenuLoader } from '../menu-reloads.js';
import { openPaths, openPoolBeside } from '../models.js';
import { report } from '../result.js';
import {
  createHappenings,
  interruptedOutput,
  openPoolAndSink,
  openRecordingSource,
  openTopicSource,
  runStream,
  ScoresFile,
} from '../stream.js';
import { summaryText } from '../summary.js';
import { COMMON_OPTIONS, defineVerb, DELIVERY_OPTIONS, KAFKA_OPTIONS, SCORING_OPTIONS } from '../verb.js';

export const runVerb = defineVerb({
  name: 'run',
  summary: 'score a stream of events and publish what the models accept',
  arguments: [],
  options: [
    'source',
    'sink',
    'model',
    'targetRate',
    'threshold',
    'cascade',
    ...KAFKA_OPTIONS,
    ...DELIVERY_OPTIONS,
    'group',
    'sessionTimeoutMs',
    'deadLetter',
    'partitions',
    'stopAtEnd',
    'run',
    'frameEvents',
    'overwrite',
    'resume',
    'checkpointIntervalMs',
    'inputRateHz',
    'httpPort',
    'httpHost',
    'httpReload',
    'swapAt',
    'shadowEvents',
    'shadowBand',
    'scores',
    ...SCORING_OPTIONS,
    ...COMMON_OPTIONS,
  ],
  async run(settings, _positional, context) {
    const paths = await openPaths(settings);
    const provenance = new Map([
      ['source', settings.source],
      ...paths.map(({ name, bundle, threshold, student }): [string, string] => [
        `path ${name}`,
        `${bundle.manifest.sha256} >= ${threshold}` +
          (student === undefined ? '' : ` after ${student.sha256} >= ${student.cut}`),
      ]),
    ]);
    const checkpoint = settings.resume ? await interruptedOutput(settings, provenance, context) : undefined;
    if (checkpoint === 'whole') {
      context.log.info({ sink: settings.sink }, 'the output was whole already');
      return;
    }
    const happenings = createHappenings(context);
    const topic = topicOf(settings.source);
    const input =
      topic === undefined
        ? await openRecordingSource(settings.source, settings, checkpoint)
        : openTopicSource(topic, settings, settings.sink, settings.stopAtEnd, happenings);
    const header = { labelNames: input.labelNames, provenance };
    const { pool, sink } = await openPoolAndSink(paths, settings.sink, settings, input, header, happenings, checkpoint);
    const scores = settings.scores === undefined ? undefined : new ScoresFile(settings.scores);
    const menus: MenuLoader = {
      configured: () => context.reread(),
      open: async (request, running) => {
        const next = await openPaths({ ...request, quantise: settings.quantise });
        if (scores !== undefined && next.length !== paths.length) {
          throw new TriggerError(
            'USAGE',
            `--scores: expected ${paths.length} models, as at the start, received ${next.length}`,
          );
        }
        return openPoolBeside(running, next, settings, happenings);
      },
    };
    const pipeline = await runStream({ ...input, sink, pool, happenings }, settings, context, {
      menus,
      ...(scores === undefined ? {} : { onScores: scores.add.bind(scores) }),
    });
    await scores?.write(paths.length);
    const summary = pipeline.totals.summary();
    await report(settings.json, summary, summaryText(summary, settings.inputRateHz));
  },
});
