/** A measured process that sends frames to a topic at a fixed pace, whatever becomes of them (open loop). */
import { encodeFrame } from '../event/frame.js';
import type { KafkaConnection } from '../kafka/client.js';
import { FrameProducer } from '../replay/frame-producer.js';
import { unixMs } from '../telemetry/clock.js';
import { silentLogger } from '../telemetry/logger.js';
import { Pacer } from './pacer.js';
import { framesOf, loadWorkload } from './streams.js';

export interface FeedJob {
  readonly connection: KafkaConnection;
  readonly topic: string;
  /** Events come from here. */
  readonly recording: string;
  readonly frameEvents: number;
  /** Frames without a time, at the same pace, for all that has to become warm first: this process too. */
  readonly warmUpCount: number;
  /** Frames after those. */
  readonly count: number;
  readonly intervalMs: number;
}

/** How late the last frame was sent: a feed that cannot keep its pace measures itself. */
export interface FeedOutcome {
  readonly lateSeconds: number;
}

const DISTINCT_FRAMES = 16;

/** Frames carry the time at which they were due, also where the one before was still on its way then. */
async function feed(job: FeedJob): Promise<FeedOutcome> {
  const { connection, topic, frameEvents, warmUpCount, intervalMs } = job;
  const count = warmUpCount + job.count;
  const workload = await loadWorkload(job.recording, DISTINCT_FRAMES * frameEvents);
  const frames = framesOf(workload, frameEvents, count * frameEvents);
  const producer = await FrameProducer.open({ connection, topic, log: silentLogger() });
  const pacer = await Pacer.start(count, intervalMs);
  for (let sent = 0; sent < count;) {
    while (pacer.due <= sent) await pacer.news();
    for (; sent < pacer.due; sent++) {
      const dueMs = pacer.startMs + sent * intervalMs;
      const createdUnixNs = sent < warmUpCount ? 0n : BigInt(Math.round(dueMs * 1000)) * 1000n;
      const frame = frames.next().value!;
      const full = producer.send({ run: 1, orbit: frame.orbit, bytes: encodeFrame({ ...frame, createdUnixNs }) });
      if (full !== undefined) await full;
    }
    await producer.flush();
  }
  const lateSeconds = (unixMs() - pacer.startMs - (count - 1) * intervalMs) / 1000;
  await pacer.end();
  await producer.close();
  return { lateSeconds };
}

process.once('message', (job) => {
  void feed(job as FeedJob).then((outcome) => {
    process.send!(outcome);
    process.disconnect();
  });
});
