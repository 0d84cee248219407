/**
 * The Apache Kafka that the local broker runs: the jars named by deploy/kafka/pom.xml, resolved by Maven once into
 * deploy/kafka/target/, with a log directory formatted as a template (formatting costs a JVM start of its own).
 */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { messageOf, TriggerError } from '../errors.js';
import type { Logger } from '../telemetry/logger.js';

const KAFKA_FOLDER = fileURLToPath(new URL('../../deploy/kafka/', import.meta.url));
const POM = path.join(KAFKA_FOLDER, 'pom.xml');
export const LOG4J_CONFIG = path.join(KAFKA_FOLDER, 'log4j2.properties');

/** Kafka 4 brokers need it. */
const OLDEST_JAVA = 17;

/** Any 16 bytes in URL-safe base64: these brokers live alone. */
const CLUSTER_ID = 'bmFlLXRyaWdnZXItbG9jYQ';

export interface KafkaDistribution {
  readonly java: string;
  /** Argument of `java -cp`. */
  readonly classPath: string;
  /** A formatted, empty log directory of node 1, to be copied. */
  readonly formattedLogs: string;
  readonly clusterId: string;
}

/** Settings that both formatting and running need; the ports are those of one run. */
export function serverProperties(
  logFolder: string,
  brokerPort: number,
  controllerPort: number,
  advertisedPort = brokerPort,
): Record<string, string> {
  return {
    'process.roles': 'broker,controller',
    'node.id': '1',
    listeners: `BROKER://127.0.0.1:${brokerPort},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `BROKER://127.0.0.1:${advertisedPort}`,
    'listener.security.protocol.map': 'BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'inter.broker.listener.name': 'BROKER',
    'controller.listener.names': 'CONTROLLER',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    'log.dirs': logFolder,
  };
}

export async function writeProperties(file: string, properties: Readonly<Record<string, string>>): Promise<void> {
  const lines = Object.entries(properties).map(([key, value]) => `${key}=${value.replaceAll('\\', '\\\\')}\n`);
  await writeFile(file, lines.join(''));
}

/**
 * Why no local broker can run on this machine, or undefined where nothing is known to be in the way. Looks for
 * Java and, where the jars are still to be resolved, for Maven; resolves nothing.
 */
export async function probeLocalBroker(): Promise<string | undefined> {
  try {
    await findJava();
    if (!existsSync(await distributionFolder())) await findMaven();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/**
 * Java, the jars and the formatted template; resolves and formats them first where this pom has not been seen.
 * Safe to call from several processes at once: each builds in a folder of its own and renames it into place.
 *
 * @throws TriggerError BROKER_FAILED naming what is missing.
 */
export async function kafkaDistribution(log: Logger): Promise<KafkaDistribution> {
  const java = await findJava();
  const folder = await distributionFolder();
  if (!existsSync(folder)) await buildDistribution(java, folder, log);
  return {
    java,
    classPath: path.join(folder, 'jars', '*'),
    formattedLogs: path.join(folder, 'formatted-logs'),
    clusterId: CLUSTER_ID,
  };
}

async function distributionFolder(): Promise<string> {
  const hash = createHash('sha256').update(await readFile(POM));
  return path.join(KAFKA_FOLDER, 'target', `kafka-${hash.digest('hex').slice(0, 16)}`);
}

async function buildDistribution(java: string, folder: string, log: Logger): Promise<void> {
  const maven = await findMaven();
  const building = `${folder}.${process.pid}-${randomBytes(4).toString('hex')}`;
  await mkdir(building, { recursive: true });
  try {
    log.info({ pom: POM }, 'fetching the Kafka broker with Maven, once');
    const jars = path.join(building, 'jars');
    await succeed('Maven could not resolve the Kafka broker', maven, [
      ...['-q', '-B', '-ntp', '-f', POM, 'dependency:copy-dependencies'],
      ...['-DincludeScope=runtime', `-DoutputDirectory=${jars}`],
    ]);
    const properties = path.join(building, 'format.properties');
    await writeProperties(properties, serverProperties(path.join(building, 'formatted-logs'), 9092, 9093));
    await succeed('Kafka could not format a log directory', java, [
      ...['-XX:TieredStopAtLevel=1', '-cp', path.join(jars, '*')],
      ...['kafka.tools.StorageTool', 'format', '-t', CLUSTER_ID, '-c', properties],
    ]);
    await rename(building, folder).catch((error: unknown) => {
      // another process was first
      if (!existsSync(folder)) throw error;
    });
  } finally {
    await rm(building, { recursive: true, force: true });
  }
}

async function findJava(): Promise<string> {
  const home = process.env.JAVA_HOME;
  const java = home ? path.join(home, 'bin', 'java') : 'java';
  const wanted = `the local Kafka broker needs Java ${OLDEST_JAVA} or newer`;
  const asked = await execute(java, ['-version']);
  if (asked.failure !== undefined) {
    const where = home ? `JAVA_HOME (${home})` : 'PATH';
    throw new TriggerError('BROKER_FAILED', `${wanted}; no working java in ${where}: ${asked.failure}`);
  }
  const version = /version "(?:1\.)?(\d+)/.exec(asked.output)?.[1];
  if (version === undefined || Number(version) < OLDEST_JAVA) {
    const found = asked.output.split('\n', 1)[0] ?? '';
    throw new TriggerError('BROKER_FAILED', `${wanted}; ${java} is: ${found}`);
  }
  return java;
}

async function findMaven(): Promise<string> {
  const maven = process.platform === 'win32' ? 'mvn.cmd' : 'mvn';
  const asked = await execute(maven, ['-version']);
  if (asked.failure === undefined) return maven;
  throw new TriggerError(
    'BROKER_FAILED',
    `the local Kafka broker is fetched with Maven; no working ${maven} in PATH: ${asked.failure}`,
  );
}

/** Run a command to its end; throws TriggerError BROKER_FAILED with the end of its output where it fails. */
export async function succeed(what: string, command: string, args: readonly string[]): Promise<void> {
  const { failure, output } = await execute(command, args);
  if (failure === undefined) return;
  throw new TriggerError('BROKER_FAILED', `${what} (${failure})\n${lastLines(output, 15)}`, { retryable: true });
}

function execute(command: string, args: readonly string[]): Promise<{ output: string; failure: string | undefined }> {
  return new Promise((resolve) => {
    execFile(command, [...args], { maxBuffer: 16 * 1024 * 1024 }, (error, stdout, stderr) => {
      const failure = error === null ? undefined : error.code === 'ENOENT' ? 'not found' : `exit ${error.code ?? '?'}`;
      resolve({ output: `${stderr}${stdout}`.trim(), failure });
    });
  });
}

export function lastLines(text: string, count: number): string {
  return text.trimEnd().split('\n').slice(-count).join('\n');
}
