/**
 * Faults between topics: real processes, a real broker, and a read_committed consumer that shares no code with the
 * stream. What is expected is computed from the recording by another run, which test/integration/agreement.test.ts
 * holds equal to plain Python.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { startLocalBroker, type LocalBroker } from '#nae/broker/local-broker.js';
import { silentLogger } from '#nae/telemetry/logger.js';

import { cli, ROOT, startCli, type Running } from '../fixtures/cli.js';
import { AcceptedCollector } from './accepted-collector.js';
import { compare, reportFault } from './report.js';

const LONG = process.env.FAULTS === 'long';
const KILLS = LONG ? 30 : 5;
/** The recording is replayed this often: 351,500 events each. */
const ROUNDS = LONG ? 6 : 2;
const PARTITIONS = 4;
const SAMPLE = join(ROOT, 'models', 'recordings', 'sample.l1f.zst');
const MODEL = ['--model', 'nae-events-s', '--target-rate', '1e-2', '--device', 'cpu'];
const MAX_RSS_MIB = 700;

const folder = mkdtempSync(join(tmpdir(), 'nae-faults-kafka-'));
const file = (name: string): string => join(folder, name);
let broker: LocalBroker;
let kafka: string[];
let events: number;
/** `run/orbit/crossing/score` of everything that must come out, of all rounds. */
let expected: string[];

beforeAll(async () => {
  const properties = { 'group.min.session.timeout.ms': '1000' };
  broker = await startLocalBroker({ log: silentLogger(), properties });
  kafka = ['--brokers', broker.brokers.join(',')];
  await cli('convert', SAMPLE, file('in.l1f'), '--frame-events', '512');
  expected = [];
  events = 0;
  const args = ['run', '--source', file('in.l1f'), '--sink', file('whole.l1f'), ...MODEL, '--json', file('whole.json')];
  await cli(...args);
  const whole = JSON.parse(readFileSync(file('whole.json'), 'utf8')) as { events: { received: number } };
  const lines = readFileSync(`${file('whole.l1f')}.accepted.jsonl`, 'utf8')
    .trimEnd()
    .split('\n');
  for (let round = 1; round <= ROUNDS; round++) {
    await cli(
      'replay',
      file('in.l1f'),
      '--to',
      'kafka:frames',
      '--partitions',
      String(PARTITIONS),
      '--run',
      String(round),
      ...kafka,
    );
    events += whole.events.received;
    for (const line of lines) {
      const event = JSON.parse(line) as { orbit: number; bunch_crossing: number; paths: { score: number }[] };
      expected.push(`${round}/${event.orbit}/${event.bunch_crossing}/${event.paths[0]!.score}`);
    }
  }
  expect(expected.length).toBeGreaterThan(1000 * ROUNDS);
});
afterAll(async () => {
  await broker.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Resident memory of a process [MiB]; 0 where it is gone. */
function residentMib(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The emulator, and the most memory that any of its processes took. */
class Emulator {
  peakMib = 0;
  readonly #sink: string;
  readonly #group: string;

  constructor(name: string) {
    this.#sink = `${name}-accepted`;
    this.#group = `${name}-group`;
  }

  get topic(): string {
    return this.#sink;
  }

  start(...more: string[]): Running {
    const endpoints = ['--source', 'kafka:frames', '--sink', `kafka:${this.#sink}`, '--group', this.#group];
    const limits = ['--max-in-flight-bytes', '2000000', '--transaction-interval-ms', '50', '--workers', '1'];
    const running = startCli(['run', ...endpoints, ...MODEL, ...limits, ...kafka, ...more]);
    const pid = running.process.pid!;
    const sampling = setInterval(() => (this.peakMib = Math.max(this.peakMib, residentMib(pid))), 100);
    void running.finished.then(() => {
      clearInterval(sampling);
    });
    return running;
  }
}

describe('from topic to topic', () => {
  it('killed at random moments, neither repeats nor skips', async () => {
    const emulator = new Emulator('killed');
    const collector = new AcceptedCollector(broker.brokers, emulator.topic);
    let longest = 0;
    let kills = 0;
    while (kills < KILLS) {
      const running = emulator.start();
      const before = await collector.count();
      const began = performance.now();
      await running.said('partitions assigned');
      // Let it get to work in most cases; some are killed while they claim their partitions.
      if (Math.random() < 0.8) {
        while ((await collector.count()) === before && performance.now() - began < 20_000) await sleep(50);
        longest = Math.max(longest, (performance.now() - began) / 1000);
      }
      await sleep(Math.random() * 300);
      running.process.kill('SIGKILL');
      const { code } = await running.finished;
      expect(code).toBeNull();
      kills++;
    }
    const last = emulator.start('--stop-at-end');
    const { code, stderr } = await last.finished;
    expect(code, stderr).toBe(0);
    const received = await collector.read();
    const outcome = compare(expected, received);
    reportFault({
      fault: 'SIGKILL, Kafka to Kafka',
      repetitions: kills,
      events,
      lost: outcome.lost,
      duplicated: outcome.duplicated + outcome.foreign,
      recoverySeconds: longest,
    });
    expect(outcome).toEqual({ lost: 0, duplicated: 0, foreign: 0 });
    expect(emulator.peakMib).toBeLessThan(MAX_RSS_MIB);
  });

  it('processes that join and leave every few seconds neither repeat nor skip', async () => {
    const emulator = new Emulator('rebalanced');
    const members: Running[] = [];
    const changes = LONG ? 20 : 5;
    let killed = 0;
    for (let change = 0; change < changes; change++) {
      if (members.length === 0 || (members.length < 3 && Math.random() < 0.6)) members.push(emulator.start());
      else {
        const [leaving] = members.splice(Math.floor(Math.random() * members.length), 1);
        // Every second one leaves without a word.
        leaving!.process.kill(change % 2 === 0 ? 'SIGKILL' : 'SIGTERM');
        if (change % 2 === 0) killed++;
        else expect((await leaving!.finished).code).toBe(143);
      }
      await sleep(1000 + Math.random() * 2000);
    }
    for (const member of members) {
      member.process.kill('SIGTERM');
      expect((await member.finished).code).toBe(143);
    }
    const { code, stderr } = await emulator.start('--stop-at-end').finished;
    expect(code, stderr).toBe(0);
    const outcome = compare(expected, await new AcceptedCollector(broker.brokers, emulator.topic).read());
    reportFault({
      fault: `processes join and leave (${killed} killed)`,
      repetitions: changes,
      events,
      lost: outcome.lost,
      duplicated: outcome.duplicated + outcome.foreign,
      recoverySeconds: undefined,
    });
    expect(outcome).toEqual({ lost: 0, duplicated: 0, foreign: 0 });
    expect(emulator.peakMib).toBeLessThan(MAX_RSS_MIB);
  });

  it('a broker that is stopped for longer than a session neither repeats nor skips', async () => {
    const emulator = new Emulator('stopped');
    const collector = new AcceptedCollector(broker.brokers, emulator.topic);
    const running = emulator.start();
    await running.said('partitions assigned');
    while ((await collector.count()) === 0) await sleep(50);
    const before = await collector.count();
    process.kill(broker.pid, 'SIGSTOP');
    await sleep(35_000);
    process.kill(broker.pid, 'SIGCONT');
    const began = performance.now();
    // What was in flight may come at once; done is done.
    while ((await collector.count()) === before && performance.now() - began < 60_000) await sleep(100);
    const recoverySeconds = (performance.now() - began) / 1000;
    await sleep(3000);
    running.process.kill('SIGTERM');
    expect([143, 1]).toContain((await running.finished).code);
    const { code, stderr } = await emulator.start('--stop-at-end').finished;
    expect(code, stderr).toBe(0);
    const outcome = compare(expected, await collector.read());
    reportFault({
      fault: 'broker stopped for 35 s',
      repetitions: 1,
      events,
      lost: outcome.lost,
      duplicated: outcome.duplicated + outcome.foreign,
      recoverySeconds,
    });
    expect(outcome).toEqual({ lost: 0, duplicated: 0, foreign: 0 });
    expect(emulator.peakMib).toBeLessThan(MAX_RSS_MIB);
  });
});
