/** A broker behind a proxy, with an authorizer on a second listener, and topics of frames. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  ConfigResourceTypes,
  ResourcePatternTypes,
  type AclEntry,
  type Admin,
} from 'kafkajs';
import { expect } from 'vitest';

import { startLocalBroker, type LocalBroker } from '#nae/broker/local-broker.js';
import { connectAdmin, createKafka } from '#nae/kafka/client.js';
import { silentLogger } from '#nae/telemetry/logger.js';

import { cli, ROOT } from '../fixtures/cli.js';
import { Emulator, MODEL, type Input } from './emulator.js';
import { KafkaProxy } from './kafka-proxy.js';

const SAMPLE = join(ROOT, 'models', 'recordings', 'sample.l1f.zst');
const PARTITIONS = 4;
/** Of the listener with an authorizer. */
export const USER = { KAFKA_USERNAME: 'trigger', KAFKA_PASSWORD: 'correct-horse-battery' };

export class KafkaStand {
  readonly proxy: KafkaProxy;
  broker: LocalBroker;
  /** The recording once, 351,500 events. */
  input!: Input;
  readonly #folder: string;
  readonly #port: number;

  private constructor(folder: string, port: number, proxy: KafkaProxy, broker: LocalBroker) {
    this.#folder = folder;
    this.#port = port;
    this.proxy = proxy;
    this.broker = broker;
  }

  static async open(): Promise<KafkaStand> {
    const folder = mkdtempSync(join(tmpdir(), 'nae-faults-kafka-'));
    const port = await freePort();
    const proxy = await KafkaProxy.open(port);
    const stand = new KafkaStand(folder, port, proxy, await startBroker(folder, port, proxy.port));
    await stand.#permit();
    await cli('convert', SAMPLE, stand.#recording, '--frame-events', '512');
    const whole = ['--sink', stand.#output, '--json', `${stand.#output}.json`];
    await cli('run', '--source', stand.#recording, ...whole, ...MODEL);
    stand.input = await stand.fill('frames', 1);
    return stand;
  }

  async close(): Promise<void> {
    await this.broker.stop();
    await this.proxy.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /**
   * A topic with the recording in it several times, under the run numbers from 1. What must come of it another run has
   * computed from the recording, which test/integration/agreement.test.ts holds equal to plain Python.
   */
  async fill(topic: string, rounds: number): Promise<Input> {
    const { events, frames } = JSON.parse(readFileSync(`${this.#output}.json`, 'utf8')) as Record<
      'events' | 'frames',
      { received: number }
    >;
    const lines = readFileSync(`${this.#output}.accepted.jsonl`, 'utf8').trimEnd().split('\n');
    expect(lines.length).toBeGreaterThan(1000);
    const expected: string[] = [];
    for (let round = 1; round <= rounds; round++) {
      const to = ['--to', `kafka:${topic}`, '--partitions', String(PARTITIONS), '--run', String(round)];
      await cli('replay', this.#recording, ...to, '--brokers', this.broker.brokers.join(','));
      for (const line of lines) {
        const event = JSON.parse(line) as {
          orbit: number;
          bunch_crossing: number;
          objects: string;
          paths: { score: number }[];
        };
        expected.push(`${round}/${event.orbit}/${event.bunch_crossing}/${event.paths[0]!.score}/${event.objects}`);
      }
    }
    return { topic, events: rounds * events.received, frames: rounds * frames.received, expected };
  }

  emulator(name: string, input = this.input): Emulator {
    return new Emulator(name, input, this.broker.brokers);
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

  async asAdmin<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = await connectAdmin(createKafka(this.broker, silentLogger()), this.broker);
    try {
      return await work(admin);
    } finally {
      await admin.disconnect();
    }
  }

  /** Refuse the signed-in user an operation on a topic. */
  async deny(topic: string, operation: AclOperationTypes): Promise<void> {
    await this.asAdmin((admin) => admin.createAcls({ acl: [denial(topic, operation)] }));
  }

  /** Take back what was denied of a topic. */
  async allow(topic: string): Promise<void> {
    await this.asAdmin((admin) => admin.deleteAcls({ filters: [denial(topic, AclOperationTypes.ANY)] }));
  }

  async setMaxMessageBytes(topic: string, bytes: number): Promise<void> {
    const setting = { name: 'max.message.bytes', value: String(bytes) };
    const resource = { type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [setting] };
    await this.asAdmin((admin) => admin.alterConfigs({ validateOnly: false, resources: [resource] }));
  }

  get #recording(): string {
    return join(this.#folder, 'in.l1f');
  }

  get #output(): string {
    return join(this.#folder, 'whole.l1f');
  }

  /** Let the signed-in user do everything with all topics, groups and transactions. */
  async #permit(): Promise<void> {
    const kinds = [AclResourceTypes.TOPIC, AclResourceTypes.GROUP, AclResourceTypes.TRANSACTIONAL_ID];
    const acl = kinds.map((resourceType) => ({
      ...denial('*', AclOperationTypes.ALL),
      resourceType,
      permissionType: AclPermissionTypes.ALLOW,
    }));
    await this.asAdmin((admin) => admin.createAcls({ acl }));
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
