/**
 * `replay`: a recorded stream, live.
 */
import { TriggerError } from '../../errors.js';
import { FrameProducer } from '../../replay/frame-producer.js';
import { connectionOf, topicOf } from '../kafka.js';
import { progressOf } from '../progress.js';
import { replay } from '../replayer.js';
import { grouped, report } from '../result.js';
import { COMMON_OPTIONS, defineVerb, KAFKA_OPTIONS } from '../verb.js';

export const replayVerb = defineVerb({
  name: 'replay',
  summary: 'send a recording to a topic, as if it were live',
  arguments: ['RECORDING'],
  options: ['to', 'pace', 'speed', 'loop', 'run', 'frameEvents', 'partitions', ...KAFKA_OPTIONS, ...COMMON_OPTIONS],
  async run(settings, [path = ''], context) {
    const topic = topicOf(settings.to);
    if (topic === undefined) throw new TriggerError('USAGE', `--to ${settings.to}: expected kafka:TOPIC`);
    const producer = await FrameProducer.open({
      connection: connectionOf(settings),
      topic,
      log: context.log,
      createWithPartitions: settings.partitions,
    });
    const state = { events: 0, frames: 0, faults: 0, done: 0, total: 1, elapsedSeconds: 0 };
    const progress = progressOf(path, () => ({ ...state, note: `${grouped(state.events)} events` }));
    try {
      await replay({ ...settings, path }, producer, context.stop, state);
    } finally {
      progress.stop();
      await producer.close();
    }
    const { events, frames, faults, elapsedSeconds } = state;
    const rate = events / Math.max(elapsedSeconds, 1e-9);
    await report(
      settings.json,
      { events, frames, faults, seconds: elapsedSeconds, events_per_second: rate },
      `${grouped(events)} events in ${grouped(frames)} frames to ${topic}: ${grouped(Math.round(rate))} events/s`,
    );
  },
});
