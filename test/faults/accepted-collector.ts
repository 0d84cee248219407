/** Accepted events as any consumer finds them: Kafka's own Java client, read_committed, and the published .proto. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import protobuf from 'protobufjs';

import { kafkaDistribution } from '#nae/broker/kafka-distribution.js';
import { silentLogger } from '#nae/telemetry/logger.js';

import { ROOT } from '../fixtures/cli.js';

interface Accepted {
  run: number;
  orbit: number;
  bunchCrossing: number;
  objects: Uint8Array;
  paths: { score: number }[];
}

const READER = fileURLToPath(new URL('CommittedValues.java', import.meta.url));
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;

export class AcceptedCollector {
  readonly #brokers: readonly string[];
  readonly #topic: string;

  constructor(brokers: readonly string[], topic: string) {
    this.#brokers = brokers;
    this.#topic = topic;
  }

  /** `run/orbit/crossing/score/objects` of every committed event, the objects in base64. */
  async read(): Promise<string[]> {
    const root = await protobuf.load(join(ROOT, 'proto', 'l1_event.proto'));
    const type = root.lookupType('l1trigger.v1.AcceptedEvent');
    const { java, classPath } = await kafkaDistribution(silentLogger());
    const args = ['-XX:TieredStopAtLevel=1', '-cp', classPath, READER, this.#brokers.join(','), this.#topic];
    const { stdout } = await promisify(execFile)(java, args, { maxBuffer: MAX_OUTPUT_BYTES });
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const event = type.decode(Buffer.from(line, 'base64')) as unknown as Accepted;
        const objects = Buffer.from(event.objects).toString('base64');
        return `${event.run}/${event.orbit}/${event.bunchCrossing}/${event.paths[0]!.score}/${objects}`;
      });
  }
}
