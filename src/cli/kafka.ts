/**
 * The Kafka connection of the command line: flags, environment, secrets.
 */
import { readFileSync } from 'node:fs';

import type { Settings } from '../config/options.js';
import { messageOf, TriggerError } from '../errors.js';
import type { KafkaConnection } from '../kafka/client.js';

type KafkaSettings = Settings<'brokers' | 'tls' | 'tlsCa' | 'saslMechanism'>;

const PREFIX = 'kafka:';

/** The topic of `kafka:TOPIC`; undefined for anything else, which is a path. */
export function topicOf(endpoint: string): string | undefined {
  if (!endpoint.startsWith(PREFIX)) return undefined;
  const topic = endpoint.slice(PREFIX.length);
  if (!/^[\w.-]{1,249}$/.test(topic)) {
    throw new TriggerError('USAGE', `${endpoint}: expected kafka:TOPIC with a topic of letters, digits, ., _ and -`);
  }
  return topic;
}

/** Brokers from --brokers or KAFKA_BROKERS, or undefined where neither says any. */
export function brokersOf(settings: Settings<'brokers'>): readonly string[] | undefined {
  const fromEnvironment = process.env.KAFKA_BROKERS?.split(',').filter((broker) => broker !== '');
  return settings.brokers ?? (fromEnvironment?.length === 0 ? undefined : fromEnvironment);
}

/**
 * How to reach the cluster. User and password come from the environment alone, so that they stand neither in a
 * process list nor in a configuration file.
 */
export function connectionOf(settings: KafkaSettings): KafkaConnection {
  const brokers = brokersOf(settings);
  if (brokers === undefined) {
    throw new TriggerError(
      'USAGE',
      'no brokers: expected --brokers HOST:PORT,... or the environment variable KAFKA_BROKERS',
    );
  }
  for (const broker of brokers) {
    if (broker.includes('@')) {
      // Not repeated in the message: before the @ there is usually a password.
      throw new TriggerError('USAGE', '--brokers: expected HOST:PORT without user and password, see --sasl-mechanism');
    }
    if (!/^\[?[\w.:-]+\]?:\d{1,5}$/.test(broker)) {
      throw new TriggerError('USAGE', `--brokers: expected HOST:PORT, received ${JSON.stringify(broker)}`);
    }
  }
  return { brokers, ...tlsOf(settings), ...saslOf(settings) };
}

function tlsOf({ tls, tlsCa }: KafkaSettings): Pick<KafkaConnection, 'tls'> {
  if (tlsCa === undefined) return tls ? { tls: true } : {};
  try {
    return { tls: { ca: [readFileSync(tlsCa, 'utf8')] } };
  } catch (error) {
    throw new TriggerError('USAGE', `--tls-ca ${tlsCa}: ${messageOf(error)}`, { cause: error });
  }
}

function saslOf({ saslMechanism: mechanism }: KafkaSettings): Pick<KafkaConnection, 'sasl'> {
  if (mechanism === undefined) return {};
  const { KAFKA_USERNAME: username, KAFKA_PASSWORD: password } = process.env;
  if (username === undefined || password === undefined) {
    throw new TriggerError(
      'USAGE',
      `--sasl-mechanism ${mechanism}: expected the environment variables KAFKA_USERNAME and KAFKA_PASSWORD`,
    );
  }
  // A switch, because each mechanism is a type of its own in kafkajs.
  switch (mechanism) {
    case 'plain':
      return { sasl: { mechanism, username, password } };
    case 'scram-sha-256':
      return { sasl: { mechanism, username, password } };
    case 'scram-sha-512':
      return { sasl: { mechanism, username, password } };
  }
}
