/**
 * How every part of the product reaches a Kafka cluster: one place for connection settings, logging and errors.
 */
import {
  Kafka,
  logLevel,
  type Admin,
  type ISocketFactory,
  type KafkaConfig,
  type LogEntry,
  type RetryOptions,
} from 'kafkajs';

import { messageOf, TriggerError } from '../errors.js';
import type { Logger } from '../telemetry/logger.js';
import { decodeFetches } from './fetch-response.js';
import { encodeProduces } from './produce-request.js';
import { repairRequestQueue } from './request-queue-repair.js';

export interface KafkaConnection {
  /** `host:port` of one or several brokers of the cluster. */
  readonly brokers: readonly string[];
  /** Name of this client in the brokers' logs and quotas. Default: `nae-trigger`. */
  readonly clientId?: string;
  /** TLS: true for the certificate authorities that Node.js brings, or Node's TLS options. Default: plain text. */
  readonly tls?: Exclude<KafkaConfig['ssl'], undefined>;
  readonly sasl?: Exclude<KafkaConfig['sasl'], undefined>;
}

/** How long a first answer of the cluster is waited for [ms]. */
const FIRST_CONTACT_MS = 10_000;

/** All of it set here: kafkajs takes other defaults where NODE_ENV is "test". */
const RETRY: RetryOptions = { initialRetryTime: 200, maxRetryTime: 5_000, multiplier: 2, factor: 0.2, retries: 5 };

interface ClientOptions {
  /** What differs from {@link RETRY}. */
  readonly retry?: RetryOptions;
  /** Default: kafkajs' own. */
  readonly socketFactory?: ISocketFactory;
}

/** A kafkajs client. Connects to nothing by itself. */
export function createKafka(connection: KafkaConnection, log: Logger, options: ClientOptions = {}): Kafka {
  if (connection.brokers.length === 0) throw new TriggerError('USAGE', 'no Kafka broker given, expected host:port');
  repairRequestQueue();
  decodeFetches();
  encodeProduces();
  return new Kafka({
    brokers: [...connection.brokers],
    clientId: connection.clientId ?? 'nae-trigger',
    connectionTimeout: 3_000,
    retry: { ...RETRY, ...options.retry },
    logLevel: logLevel.INFO,
    logCreator: () => (entry) => {
      forwardLog(log, entry);
    },
    ...(options.socketFactory === undefined ? {} : { socketFactory: options.socketFactory }),
    ...(connection.tls === undefined ? {} : { ssl: connection.tls }),
    ...(connection.sasl === undefined ? {} : { sasl: connection.sasl }),
  });
}

/**
 * kafkajs reports as errors what it then retries; what it gives up on is thrown, and logged where that is handled.
 * Its single connections and requests fail routinely (leader elections), and so does beginning a transaction while the
 * one before is being ended; its own progress is of use to nobody but who debugs.
 */
function forwardLog(log: Logger, { namespace, level, log: entry }: LogEntry): void {
  const { message, ...details } = entry;
  const routine =
    level >= logLevel.INFO ||
    namespace === 'Connection' ||
    namespace === 'Cluster' ||
    message.endsWith('another concurrent operation on the same transaction was ongoing');
  log[routine ? 'debug' : 'warn'](
    // Raw requests and responses, which the environment can make kafkajs log, hold credentials.
    { kafka: namespace, ...details, ...WITHHELD },
    message,
  );
}

const WITHHELD = {
  timestamp: undefined,
  logger: undefined,
  stack: undefined,
  buffer: undefined,
  payload: undefined,
  payloadBuffer: undefined,
} as const;

/**
 * Connect an admin client.
 *
 * @throws TriggerError BROKER_FAILED, naming the brokers, where none answers within {@link FIRST_CONTACT_MS}.
 */
export async function connectAdmin(kafka: Kafka, connection: KafkaConnection): Promise<Admin> {
  const admin = kafka.admin();
  // A connection alone does not show whether the listener takes this client: one request does.
  const attempt = admin.connect().then(() => admin.describeCluster());
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`no answer within ${FIRST_CONTACT_MS / 1000} s`));
    }, FIRST_CONTACT_MS);
  });
  try {
    await Promise.race([attempt, deadline]);
    return admin;
  } catch (error) {
    attempt.catch(() => undefined).finally(() => void admin.disconnect().catch(() => undefined));
    const advice = securityAdvice(error, connection);
    throw new TriggerError(
      'BROKER_FAILED',
      `cannot reach Kafka at ${connection.brokers.join(', ')}: ${messageOf(error)}${advice === undefined ? '' : `: ${advice}`}`,
      { cause: error, retryable: advice === undefined },
    );
  } finally {
    clearTimeout(timer);
  }
}

/** What to look at where an error is that of a client and a listener with different security; undefined for others. */
function securityAdvice(error: unknown, { tls, sasl }: KafkaConnection): string | undefined {
  const message = messageOf(error);
  if (/certificate/i.test(message)) {
    return 'the certificate of the broker is not that of a trusted authority for this host (--tls-ca)';
  }
  if (/before secure TLS connection|wrong version number|packet length too long/i.test(message)) {
    return 'the listener does not seem to speak TLS (--tls)';
  }
  if (/current SASL state/i.test(message)) return 'the listener does not expect SASL (--sasl-mechanism)';
  if (/^SASL .* failed/.test(message))
    return 'user, password or mechanism are refused (KAFKA_USERNAME, KAFKA_PASSWORD)';
  if (message === 'Closed connection') {
    const unused = [
      ...(tls === undefined ? ['TLS (--tls)'] : []),
      ...(sasl === undefined ? ['SASL (--sasl-mechanism)'] : []),
    ];
    if (unused.length > 0) return `the broker hangs up: does the listener expect ${unused.join(' or ')}?`;
  }
  return undefined;
}

/** A kafkajs error as one of ours. */
export function brokerError(what: string, cause: unknown, retryable = isRetriable(cause)): TriggerError {
  if (cause instanceof TriggerError) return cause;
  return new TriggerError('BROKER_FAILED', `${what}: ${messageOf(cause)}`, { cause, retryable });
}

/** By kafkajs' account for good, but so ends what it tried while no broker answered. */
const PASSING: ReadonlySet<string> = new Set(['KafkaJSNumberOfRetriesExceeded', 'KafkaJSGroupCoordinatorNotFound']);

/** Whether an error is passing by kafkajs' own account, which it may hide below wrappers that say otherwise. */
export function isRetriable(error: unknown): boolean {
  return causesOf(error).some(
    (cause) => (cause as { retriable?: boolean }).retriable === true || PASSING.has(cause.name),
  );
}

/** The protocol's name of an error (`MESSAGE_TOO_LARGE`), looked up through its causes. */
export function protocolErrorType(error: unknown): string | undefined {
  return causesOf(error)
    .map((cause) => (cause as { type?: unknown }).type)
    .find((type) => typeof type === 'string');
}

function causesOf(error: unknown): Error[] {
  const causes: Error[] = [];
  for (let current = error; current instanceof Error && causes.length < 8; current = current.cause)
    causes.push(current);
  return causes;
}

/** Bytes as kafkajs takes them: the same memory, not a copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
