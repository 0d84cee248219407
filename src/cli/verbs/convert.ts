/**
 * `convert`: between recording formats, encodings and frame sizes.
 */
import { convertRecording } from '../../recording/convert.js';
import { formatOf } from '../../recording/open.js';
import { grouped, report } from '../result.js';
import { progressOf } from '../progress.js';
import { COMMON_OPTIONS, defineVerb } from '../verb.js';

export const convertVerb = defineVerb({
  name: 'convert',
  summary: 'convert between recording formats (.l1f, .l1f.zst, .h5), encodings and frame sizes',
  arguments: ['FROM', 'TO'],
  options: [...COMMON_OPTIONS, 'encoding', 'frameEvents', 'run', 'overwrite', 'skipFaulty'],
  async run(settings, [from = '', to = '']) {
    let state = { done: 0, total: 1 };
    const progress = progressOf('convert', () => state);
    try {
      const result = await convertRecording(from, to, {
        encoding: settings.encoding ?? (formatOf(from) === 'hdf5' ? 'HW32' : 'keep'),
        eventsPerFrame: settings.frameEvents,
        run: settings.run,
        overwrite: settings.overwrite,
        skipFaulty: settings.skipFaulty,
        onProgress: ({ readBytes, sizeBytes }) => {
          state = { done: readBytes, total: sizeBytes };
        },
      });
      progress.stop();
      const lines = [
        `${to}: ${grouped(result.events)} events in ${grouped(result.frames)} frames`,
        ...(result.skippedFrames + result.skippedEvents === 0
          ? []
          : [`left out: ${grouped(result.skippedFrames)} frames, ${grouped(result.skippedEvents)} events`]),
        ...result.lost.map((what) => `not kept: ${what}`),
      ];
      await report(settings.json, result, lines.join('\n'));
    } finally {
      progress.stop();
    }
  },
});
