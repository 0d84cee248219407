/**
 * A real Apache Kafka (KRaft, one node) on this machine's loopback, for the demo and for tests.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { messageOf, TriggerError } from '../errors.js';
import { connectAdmin, createKafka } from '../kafka/client.js';
import { createMissingTopics } from '../kafka/topics.js';
import type { Logger } from '../telemetry/logger.js';
import { scramFormatArguments, securityProperties, type ListenerSecurity } from './broker-security.js';
import {
  kafkaDistribution,
  lastLines,
  LOG4J_CONFIG,
  serverProperties,
  succeed,
  writeProperties,
  type KafkaDistribution,
} from './kafka-distribution.js';
import type { SupervisedBroker, SupervisorReport } from './supervisor.js';

interface LocalTopic {
  readonly name: string;
  readonly partitions: number;
}

export interface LocalBrokerOptions {
  readonly log: Logger;
  /** Created before the broker is handed over. */
  readonly topics?: readonly LocalTopic[];
  /** Settings of server.properties that replace or add to the local ones. */
  readonly properties?: Readonly<Record<string, string>>;
  /** Where the broker keeps its data, and finds them again. Default: a folder that is removed at the end. */
  readonly dataDirectory?: string;
  /** Port of the plain listener, for a broker that comes back where it was. Default: a free one. */
  readonly port?: number;
  /** Port that clients of the plain listener are told of, where something stands in between. Default: its own. */
  readonly advertisedPort?: number;
  /** A second listener with TLS, SASL or an authorizer. Default: none. */
  readonly security?: ListenerSecurity;
}

export interface LocalBroker {
  /** `127.0.0.1:port` of the plain listener, as clients are told. */
  readonly brokers: readonly string[];
  /** `127.0.0.1:port` of the listener with security; empty where there is none. */
  readonly securedBrokers: readonly string[];
  /** Process id of the broker itself. */
  readonly pid: number;
  /** End the broker; resolves once it is gone. It also ends, by itself, with this process. */
  stop(): Promise<void>;
}

/** Frames of up to 16 MiB fit, with their headers. */
const LARGEST_MESSAGE_BYTES = 16 * 1024 * 1024 + 64 * 1024;

const LOCAL_PROPERTIES: Readonly<Record<string, string>> = {
  'message.max.bytes': String(LARGEST_MESSAGE_BYTES),
  'replica.fetch.max.bytes': String(LARGEST_MESSAGE_BYTES),
  'group.initial.rebalance.delay.ms': '0',
  'auto.create.topics.enable': 'false',
  // One broker, few clients: internal topics of one replica and one partition are made at once.
  'offsets.topic.replication.factor': '1',
  'offsets.topic.num.partitions': '1',
  'transaction.state.log.replication.factor': '1',
  'transaction.state.log.min.isr': '1',
  'transaction.state.log.num.partitions': '1',
  'share.coordinator.state.topic.replication.factor': '1',
  'share.coordinator.state.topic.min.isr': '1',
  'share.coordinator.state.topic.num.partitions': '1',
};

/** Compiled once and lightly: a start is worth more here than the last percent of throughput. */
const JVM_OPTIONS = ['-Xms128m', '-Xmx512m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Djava.awt.headless=true'];

/** Loaded machines have needed 20 s. */
const START_LIMIT_MS = 120_000;

/** Another process may take a port between its choice and its use. */
const START_ATTEMPTS = 3;

/**
 * Start a broker and wait until it answers requests.
 *
 * @throws TriggerError BROKER_FAILED: Java or Maven is missing or too old (the message names what was looked for), or
 * the broker did not start (the message ends with its log).
 */
export async function startLocalBroker(options: LocalBrokerOptions): Promise<LocalBroker> {
  const began = performance.now();
  const distribution = await kafkaDistribution(options.log);
  for (let attempt = 1; ; attempt++) {
    try {
      const broker = await launch(distribution, options);
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      options.log.info({ brokers: broker.brokers, seconds }, 'local Kafka broker started');
      return broker;
    } catch (error) {
      const portTaken = messageOf(error).includes('Address already in use');
      if (!portTaken || attempt === START_ATTEMPTS) throw error;
    }
  }
}

async function launch(distribution: KafkaDistribution, options: LocalBrokerOptions): Promise<LocalBroker> {
  const workFolder = await mkdtemp(path.join(tmpdir(), 'nae-trigger-kafka-'));
  const logFile = path.join(workFolder, 'broker.log');
  const [freePort, controllerPort, securedPort] = await freeLoopbackPorts(3);
  const port = options.port ?? freePort!;
  const ports = { plain: port, controller: controllerPort!, secured: securedPort! };
  const supervised = await prepare(distribution, options, workFolder, logFile, ports).catch(async (error: unknown) => {
    await rm(workFolder, { recursive: true, force: true });
    throw error;
  });

  const supervisor = fork(fileURLToPath(new URL('./supervisor.js', import.meta.url)), [JSON.stringify(supervised)], {
    detached: true,
    execArgv: [],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  // Neither keeps this process alive: when it has nothing else to do, it ends and the broker with it.
  supervisor.unref();
  supervisor.channel?.unref();
  const state = watch(supervisor);
  const broker: LocalBroker = {
    brokers: [`127.0.0.1:${options.advertisedPort ?? port}`],
    securedBrokers: options.security === undefined ? [] : [`127.0.0.1:${ports.secured}`],
    get pid() {
      return state.pid ?? -1;
    },
    stop: () => end(supervisor),
  };
  try {
    await waitUntilListening(port, state);
    await createTopics(broker.brokers, options);
    return broker;
  } catch (error) {
    const log = await readFile(logFile, 'utf8').catch(() => '');
    await broker.stop();
    const why = state.ended === undefined ? messageOf(error) : `it ended (${state.ended})`;
    const tail = log === '' ? 'Its log is empty.' : `Its log ends with:\n${lastLines(log, 15)}`;
    throw new TriggerError('BROKER_FAILED', `the local Kafka broker did not start: ${why}. ${tail}`, { cause: error });
  }
}

interface Ports {
  readonly plain: number;
  readonly controller: number;
  readonly secured: number;
}

async function prepare(
  distribution: KafkaDistribution,
  options: LocalBrokerOptions,
  workFolder: string,
  logFile: string,
  ports: Ports,
): Promise<SupervisedBroker> {
  const { java, classPath } = distribution;
  const { security } = options;
  const dataFolder = options.dataDirectory ?? path.join(workFolder, 'data');
  const advertised = options.advertisedPort ?? ports.plain;
  const plain = serverProperties(path.resolve(dataFolder), ports.plain, ports.controller, advertised);
  const propertiesFile = path.join(workFolder, 'server.properties');
  await writeProperties(propertiesFile, {
    ...plain,
    ...(security === undefined ? {} : securityProperties(security, ports.secured, plain)),
    ...LOCAL_PROPERTIES,
    ...options.properties,
  });
  if (!existsSync(path.join(dataFolder, 'meta.properties'))) {
    await mkdir(dataFolder, { recursive: true });
    if (security?.users === undefined) await cp(distribution.formattedLogs, dataFolder, { recursive: true });
    else {
      const format = scramFormatArguments(distribution, security.users, propertiesFile);
      await succeed('Kafka could not format a log directory', java, format);
    }
  }
  const args = [`-Dlog4j2.configurationFile=${LOG4J_CONFIG}`, '-cp', classPath, 'kafka.Kafka', propertiesFile];
  return {
    command: java,
    args: [...JVM_OPTIONS, ...args],
    logFile,
    workFolder,
    keepsData: options.dataDirectory !== undefined,
  };
}

interface BrokerState {
  pid: number | undefined;
  /** How the broker ended, where it has. */
  ended: string | undefined;
}

function watch(supervisor: ChildProcess): BrokerState {
  const state: BrokerState = { pid: undefined, ended: undefined };
  supervisor.on('message', (message) => {
    const report = message as SupervisorReport;
    if (report.kind === 'started') state.pid = report.pid;
    else state.ended = report.how;
  });
  supervisor.once('error', (error) => {
    state.ended ??= error.message;
  });
  supervisor.once('exit', (code, signal) => {
    // A supervisor that was killed leaves its broker behind.
    if (state.ended === undefined && signal !== null && state.pid !== undefined) kill(state.pid);
    state.ended ??= `supervisor: ${signal ?? `exit ${code}`}`;
  });
  return state;
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it is gone already
  }
}

function end(supervisor: ChildProcess): Promise<void> {
  if (supervisor.exitCode !== null || supervisor.signalCode !== null || supervisor.pid === undefined) {
    return Promise.resolve();
  }
  return new Promise((resolve) => {
    supervisor.ref();
    supervisor.once('exit', () => {
      resolve();
    });
    if (supervisor.connected) supervisor.disconnect();
  });
}

async function freeLoopbackPorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.once('error', reject);
          server.listen(0, '127.0.0.1', () => {
            resolve((server.address() as AddressInfo).port);
          });
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

async function waitUntilListening(port: number, state: BrokerState): Promise<void> {
  const deadline = performance.now() + START_LIMIT_MS;
  while (performance.now() < deadline) {
    if (state.ended !== undefined) throw new Error(`it ended (${state.ended})`);
    if (await accepts(port)) return;
    await delay(50);
  }
  throw new Error(`it did not listen on port ${port} within ${START_LIMIT_MS / 1000} s`);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const settle = (listening: boolean) => (): void => {
      socket.destroy();
      resolve(listening);
    };
    socket.once('connect', settle(true));
    socket.once('error', settle(false));
  });
}

/** Creating the topics, even none, is the request that tells a broker which serves from one that only listens. */
async function createTopics(brokers: readonly string[], { log, topics = [] }: LocalBrokerOptions): Promise<void> {
  const admin = await connectAdmin(createKafka({ brokers }, log), { brokers });
  try {
    await createMissingTopics(
      admin,
      topics.map(({ name, partitions }) => ({ topic: name, partitions })),
    );
  } finally {
    await admin.disconnect();
  }
}
