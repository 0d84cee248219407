import { encodeFrame, type L1Frame } from '../event/frame.js';
import type { KafkaConnection } from '../kafka/client.js';
import { FrameProducer } from '../replay/frame-producer.js';
import { silentLogger } from '../telemetry/logger.js';

/** Send frames to a topic as fast as it takes them. Throws as FrameProducer does. */
export async function fillTopic(connection: KafkaConnection, topic: string, frames: Iterable<L1Frame>): Promise<void> {
  const producer = await FrameProducer.open({ connection, topic, log: silentLogger() });
  try {
    for (const frame of frames) {
      const full = producer.send({ run: frame.run, orbit: frame.orbit, bytes: encodeFrame(frame) });
      if (full !== undefined) await full;
    }
    await producer.flush();
  } finally {
    await producer.close();
  }
}
