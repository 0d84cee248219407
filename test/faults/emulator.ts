/** The emulator between two topics, as one process after the other or several at once. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { Kafka, logLevel } from 'kafkajs';
import { expect } from 'vitest';

import { startCli, type Finished, type Running } from '../fixtures/cli.js';
import { AcceptedCollector } from './accepted-collector.js';
import { expectExact, type Told } from './report.js';

/** A topic of frames, and what must come of it. */
export interface Input {
  readonly topic: string;
  readonly frames: number;
  readonly events: number;
  /** `run/orbit/crossing/score` of everything that must come out. */
  readonly expected: readonly string[];
}

export const MODEL = ['--model', 'nae-events-s', '--target-rate', '1e-2', '--device', 'cpu'];
/** Of every process here: a member that died is missed soon. */
export const SESSION_MS = 3_000;
/** Longer than anything here should take, also on a busy machine [ms]. */
const PATIENCE_MS = 600_000;
/** Most that a process may take [MiB]; one that runs undisturbed takes about 200. */
const MAX_RSS_MIB = 700;

/** Processes of one group that write to one topic, and the most memory that any of them took. */
export class Emulator {
  readonly topic: string;
  readonly group: string;
  readonly #input: Input;
  readonly #brokers: readonly string[];
  readonly #kafka: Kafka;
  #peakMib = 0;
  readonly #alive = new Set<Running>();
  #lastWords = '';

  constructor(name: string, input: Input, brokers: readonly string[]) {
    this.topic = `${name}-accepted`;
    this.group = `${name}-group`;
    this.#input = input;
    this.#brokers = brokers;
    this.#kafka = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING });
  }

  start(...more: string[]): Running {
    return this.startIn({}, ...more);
  }

  /** With variables of the environment; options given again replace the ones here. */
  startIn(environment: NodeJS.ProcessEnv, ...more: string[]): Running {
    const chosen = new Map([
      ['--source', `kafka:${this.#input.topic}`],
      ['--sink', `kafka:${this.topic}`],
      ['--group', this.group],
      ['--session-timeout-ms', String(SESSION_MS)],
      ['--transaction-interval-ms', '50'],
      ['--max-in-flight-bytes', '2000000'],
      ['--workers', '1'],
      ['--brokers', this.#brokers.join(',')],
    ]);
    for (const option of more) chosen.delete(option);
    const running = startCli(['run', ...MODEL, ...[...chosen].flat(), ...more], environment);
    const pid = running.process.pid!;
    const sampling = setInterval(() => (this.#peakMib = Math.max(this.#peakMib, residentMib(pid))), 100);
    this.#alive.add(running);
    void running.finished.then(({ stderr }) => {
      clearInterval(sampling);
      this.#alive.delete(running);
      this.#lastWords = stderr;
    });
    return running;
  }

  /** Frames that the group has committed, in all partitions; 0 while the broker does not answer. */
  async committed(): Promise<number> {
    const admin = this.#kafka.admin({ retry: { retries: 2 } });
    try {
      await admin.connect();
      const [offsets] = await admin.fetchOffsets({ groupId: this.group, topics: [this.#input.topic] });
      return offsets!.partitions.reduce((sum, { offset }) => sum + Math.max(0, Number(offset)), 0);
    } catch {
      return 0;
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
  }

  /** Wait until the group has committed more frames than before; returns since when that took [s]. */
  async progress(before = 0, since = performance.now()): Promise<number> {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const isOver = this.#alive.size === 0 || performance.now() > deadline;
      if ((await this.committed()) > before) break;
      if (isOver) throw new Error(`${this.group} has committed nothing; last words:\n${this.#lastWords}`);
      await sleep(50);
    }
    return (performance.now() - since) / 1000;
  }

  /**
   * Let a last process run to the end, then hold what came out against what must: nothing lost, repeated or strange,
   * in bounded memory.
   */
  async conclude(
    told: Omit<Told, 'events' | 'peakMib'>,
    last = this.start('--stop-at-end', '--workers', '2'),
  ): Promise<Finished> {
    const finished = await last.finished;
    expect(finished.code, finished.stderr).toBe(0);
    const { events, expected } = this.#input;
    const received = await new AcceptedCollector(this.#brokers, this.topic).read();
    expectExact({ ...told, events, peakMib: this.#peakMib }, expected, received);
    expect(this.#peakMib).toBeLessThan(MAX_RSS_MIB);
    return finished;
  }
}

/** End a process as its operator would; it must have nothing to complain of. */
export async function terminate(running: Running): Promise<Finished> {
  // Before, it has no handler and dies of the signal.
  await running.said('stream up');
  running.process.kill('SIGTERM');
  const finished = await ended(running);
  expect(finished.code, finished.stderr).toBe(143);
  return finished;
}

/** How a process ends that is about to. */
export async function ended(running: Running): Promise<Finished> {
  const late = new AbortController();
  const timer = setTimeout(() => {
    late.abort();
    running.process.kill('SIGKILL');
  }, PATIENCE_MS);
  const finished = await running.finished;
  clearTimeout(timer);
  if (late.signal.aborted) throw new Error(`expected an end within ${PATIENCE_MS / 1000} s of:\n${finished.stderr}`);
  return finished;
}

/** Resident memory of a process [MiB]; 0 where it is gone. */
function residentMib(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}
