/**
 * A broker behind a proxy, frames in a topic of it, and what must come of them: computed from the recording by another
 * run, which test/integration/agreement.test.ts holds equal to plain Python.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  Kafka,
  logLevel,
  ResourcePatternTypes,
  type AclEntry,
  type Admin,
} from 'kafkajs';
import { expect } from 'vitest';

import { startLocalBroker, type LocalBroker } from '#nae/broker/local-broker.js';
import { connectAdmin, createKafka } from '#nae/kafka/client.js';
import { silentLogger } from '#nae/telemetry/logger.js';

import { cli, ROOT, startCli, type Finished, type Running } from '../fixtures/cli.js';
import { AcceptedCollector } from './accepted-collector.js';
import { KafkaProxy } from './kafka-proxy.js';
import { expectExact, type Told } from './report.js';

export const LONG = process.env.FAULTS === 'long';

const SAMPLE = join(ROOT, 'models', 'recordings', 'sample.l1f.zst');
const MODEL = ['--model', 'nae-events-s', '--target-rate', '1e-2', '--device', 'cpu'];
const PARTITIONS = 4;
/** Of every process here: a member that died is missed soon. */
export const SESSION_MS = 3_000;
/** Longer than anything here should take, also on a busy machine [ms]. */
const PATIENCE_MS = 180_000;
/** Most that a process may take [MiB]; one that runs undisturbed takes about 300. */
const MAX_RSS_MIB = 700;
/** Of the listener with an authorizer. */
export const USER = { KAFKA_USERNAME: 'trigger', KAFKA_PASSWORD: 'correct-horse-battery' };

export class KafkaStand {
  readonly proxy: KafkaProxy;
  broker: LocalBroker;
  /** `run/orbit/crossing/score` of everything that must come out, round after round. */
  readonly expected: readonly string[];
  readonly events: number;
  /** In the topic. */
  readonly frames: number;
  readonly #folder: string;
  readonly #port: number;

  private constructor(parts: {
    proxy: KafkaProxy;
    broker: LocalBroker;
    port: number;
    folder: string;
    expected: readonly string[];
    events: number;
    frames: number;
  }) {
    this.proxy = parts.proxy;
    this.broker = parts.broker;
    this.expected = parts.expected;
    this.events = parts.events;
    this.frames = parts.frames;
    this.#port = parts.port;
    this.#folder = parts.folder;
  }

  /** @param rounds - how often the recording, 351,500 events, is in the topic `frames` */
  static async open(rounds: number): Promise<KafkaStand> {
    const folder = mkdtempSync(join(tmpdir(), 'nae-faults-kafka-'));
    const port = await freePort();
    const proxy = await KafkaProxy.open(port);
    const broker = await startBroker(folder, port, proxy.port);
    await permit(broker);
    const input = join(folder, 'in.l1f');
    const output = join(folder, 'whole.l1f');
    const json = join(folder, 'whole.json');
    await cli('convert', SAMPLE, input, '--frame-events', '512');
    await cli('run', '--source', input, '--sink', output, ...MODEL, '--json', json);
    const whole = JSON.parse(readFileSync(json, 'utf8')) as Record<'events' | 'frames', { received: number }>;
    const lines = readFileSync(`${output}.accepted.jsonl`, 'utf8').trimEnd().split('\n');
    const expected: string[] = [];
    for (let round = 1; round <= rounds; round++) {
      const to = ['--to', 'kafka:frames', '--partitions', String(PARTITIONS), '--brokers', broker.brokers.join(',')];
      await cli('replay', input, ...to, '--run', String(round));
      for (const line of lines) {
        const event = JSON.parse(line) as { orbit: number; bunch_crossing: number; paths: { score: number }[] };
        expected.push(`${round}/${event.orbit}/${event.bunch_crossing}/${event.paths[0]!.score}`);
      }
    }
    expect(expected.length).toBeGreaterThan(1000 * rounds);
    const [events, frames] = [rounds * whole.events.received, rounds * whole.frames.received];
    return new KafkaStand({ proxy, broker, port, folder, expected, events, frames });
  }

  async close(): Promise<void> {
    await this.broker.stop();
    await this.proxy.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** A broker that was killed, where it was, with the data it had. */
  async restartBroker(): Promise<void> {
    await this.broker.stop();
    this.broker = await startBroker(this.#folder, this.#port, this.proxy.port);
  }

  /** Options of a process that signs in at the listener with an authorizer, which no proxy stands before. */
  get signedIn(): string[] {
    return ['--brokers', this.broker.securedBrokers.join(','), '--sasl-mechanism', 'scram-sha-512'];
  }

  asAdmin<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
    return asAdminOf(this.broker, work);
  }

  /** Refuse the signed-in user an operation on a topic. */
  async deny(topic: string, operation: AclOperationTypes): Promise<void> {
    await this.asAdmin((admin) => admin.createAcls({ acl: [denial(topic, operation)] }));
  }

  /** Take back what was denied of a topic. */
  async allow(topic: string): Promise<void> {
    await this.asAdmin((admin) => admin.deleteAcls({ filters: [denial(topic, AclOperationTypes.ANY)] }));
  }

  emulator(name: string): Emulator {
    return new Emulator(name, this.broker.brokers);
  }

  /**
   * Let a last process run to the end, then hold what came out against what must: nothing lost, repeated or strange,
   * in bounded memory.
   */
  async conclude(
    emulator: Emulator,
    told: Omit<Told, 'events' | 'peakMib'>,
    last = emulator.start('--stop-at-end'),
  ): Promise<Finished> {
    const finished = await last.finished;
    expect(finished.code, finished.stderr).toBe(0);
    const { events, expected } = this;
    expectExact({ ...told, events, peakMib: emulator.peakMib }, expected, await emulator.collector.read());
    expect(emulator.peakMib).toBeLessThan(MAX_RSS_MIB);
    return finished;
  }
}

/** Processes of one group that write to one topic, and the most memory that any of them took. */
export class Emulator {
  readonly topic: string;
  readonly group: string;
  readonly collector: AcceptedCollector;
  peakMib = 0;
  readonly #brokers: readonly string[];
  readonly #kafka: Kafka;

  constructor(name: string, brokers: readonly string[]) {
    this.topic = `${name}-accepted`;
    this.group = `${name}-group`;
    this.collector = new AcceptedCollector(brokers, this.topic);
    this.#brokers = brokers;
    this.#kafka = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING });
  }

  start(...more: string[]): Running {
    return this.startIn({}, ...more);
  }

  /** With variables of the environment; options given again replace the ones here. */
  startIn(environment: NodeJS.ProcessEnv, ...more: string[]): Running {
    const chosen = new Map([
      ['--source', 'kafka:frames'],
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
    const sampling = setInterval(() => (this.peakMib = Math.max(this.peakMib, residentMib(pid))), 100);
    void running.finished.then(() => {
      clearInterval(sampling);
    });
    return running;
  }

  /** Frames that the group has committed, in all partitions; 0 while the broker does not answer. */
  async committed(): Promise<number> {
    const admin = this.#kafka.admin({ retry: { retries: 2 } });
    try {
      await admin.connect();
      const [offsets] = await admin.fetchOffsets({ groupId: this.group, topics: ['frames'] });
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
    while ((await this.committed()) <= before) {
      if (performance.now() > deadline) throw new Error(`${this.group} committed nothing in ${PATIENCE_MS / 1000} s`);
      await sleep(50);
    }
    return (performance.now() - since) / 1000;
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
export async function ended(running: Running, limitMs = PATIENCE_MS): Promise<Finished> {
  const late = new AbortController();
  const timer = setTimeout(() => {
    late.abort();
    running.process.kill('SIGKILL');
  }, limitMs);
  const finished = await running.finished;
  clearTimeout(timer);
  if (late.signal.aborted) throw new Error(`expected an end within ${limitMs / 1000} s of:\n${finished.stderr}`);
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

function startBroker(folder: string, port: number, advertisedPort: number): Promise<LocalBroker> {
  return startLocalBroker({
    log: silentLogger(),
    dataDirectory: join(folder, 'broker'),
    port,
    advertisedPort,
    properties: { 'group.min.session.timeout.ms': '1000' },
    security: { users: { [USER.KAFKA_USERNAME]: USER.KAFKA_PASSWORD }, authorize: true },
  });
}

async function asAdminOf<T>(broker: LocalBroker, work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = await connectAdmin(createKafka(broker, silentLogger()), broker);
  try {
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

/** Let the signed-in user do everything with all topics, groups and transactions. */
async function permit(broker: LocalBroker): Promise<void> {
  const kinds = [AclResourceTypes.TOPIC, AclResourceTypes.GROUP, AclResourceTypes.TRANSACTIONAL_ID];
  const acl = kinds.map((resourceType) => ({
    ...denial('*', AclOperationTypes.ALL),
    resourceType,
    permissionType: AclPermissionTypes.ALLOW,
  }));
  await asAdminOf(broker, (admin) => admin.createAcls({ acl }));
}

function denial(topic: string, operation: AclOperationTypes): AclEntry {
  return {
    resourceType: AclResourceTypes.TOPIC,
    resourceName: topic,
    resourcePatternType: ResourcePatternTypes.LITERAL,
    principal: `User:${USER.KAFKA_USERNAME}`,
    host: '*',
    operation,
    permissionType: AclPermissionTypes.DENY,
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
