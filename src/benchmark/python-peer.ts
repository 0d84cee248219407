/** The same job in Python (bench/peers/python), where its environment is installed. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import type { Bundle } from '../model/bundle.js';

/** As many processes share the topic's partitions. */
const PROCESSES = 2;

export interface PeerOutcome {
  readonly events: number;
  /** `partition/offset/index` of every accepted event, sorted. */
  readonly accepted: readonly string[];
  /** Of all processes together. */
  readonly cpuSeconds: number;
}

export interface PeerJob {
  readonly brokers: readonly string[];
  readonly topic: string;
  readonly sink: string;
  readonly partitions: number;
  readonly bundle: Bundle;
  readonly threshold: number;
}

export class PythonPeer {
  readonly #python: string;
  readonly #script: string;

  private constructor(folder: string) {
    this.#python = join(folder, '.venv', 'bin', 'python');
    this.#script = join(folder, 'peer.py');
  }

  /** The peer of a checkout; undefined where `npm run bench:peers` has not been run. */
  static find(folder: string): PythonPeer | undefined {
    const peer = new PythonPeer(folder);
    return existsSync(peer.#python) ? peer : undefined;
  }

  async run({ brokers, topic, sink, partitions, bundle, threshold }: PeerJob): Promise<PeerOutcome> {
    const outcomes = await Promise.all(
      Array.from({ length: PROCESSES }, async (_, process) => {
        const own = Array.from({ length: partitions }, (_, at) => at).filter((at) => at % PROCESSES === process);
        const model = join(bundle.directory, 'model.onnx');
        const job = { brokers: brokers.join(','), topic, sink, partitions: own, model, threshold };
        const { stdout } = await promisify(execFile)(this.#python, [this.#script, JSON.stringify(job)], {
          maxBuffer: 64 * 1024 * 1024,
        });
        return JSON.parse(stdout) as PeerOutcome;
      }),
    );
    return {
      events: outcomes.reduce((sum, { events }) => sum + events, 0),
      accepted: outcomes.flatMap(({ accepted }) => accepted).sort(),
      cpuSeconds: outcomes.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
    };
  }
}
