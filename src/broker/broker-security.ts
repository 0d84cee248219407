/**
 * A second listener of the local broker with the security of a real cluster: TLS, SASL, an authorizer.
 */
import type { KafkaDistribution } from './kafka-distribution.js';

/** At least TLS or users: without either the listener would be the plain one again. */
export interface ListenerSecurity {
  /**
   * PKCS #12 file with the broker's private key and certificate chain, which must name 127.0.0.1. Without it the
   * listener is not encrypted.
   */
  readonly tlsKeyStore?: { readonly path: string; readonly password: string };
  /** Passwords by user name, for PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 alike; without them nobody signs in. */
  readonly users?: Readonly<Record<string, string>>;
  /**
   * Ask Kafka's StandardAuthorizer: users may do what an ACL allows and nothing else. Whoever comes over the plain
   * listener, as tests do that set up topics and ACLs, may do everything.
   */
  readonly authorize?: boolean;
}

const LISTENER = 'SECURED';
const SCRAM_MECHANISMS = ['SCRAM-SHA-256', 'SCRAM-SHA-512'];

/** Settings of server.properties that add the listener at `port` to those of `plain`. */
export function securityProperties(
  security: ListenerSecurity,
  port: number,
  plain: Readonly<Record<string, string>>,
): Record<string, string> {
  const { tlsKeyStore, users, authorize = false } = security;
  const protocol = users === undefined ? 'SSL' : tlsKeyStore === undefined ? 'SASL_PLAINTEXT' : 'SASL_SSL';
  const prefix = `listener.name.${LISTENER.toLowerCase()}.`;
  const address = `${LISTENER}://127.0.0.1:${port}`;
  const append = (name: string, value: string): Record<string, string> => ({ [name]: `${plain[name]!},${value}` });
  return {
    ...append('listeners', address),
    ...append('advertised.listeners', address),
    ...append('listener.security.protocol.map', `${LISTENER}:${protocol}`),
    ...(tlsKeyStore === undefined
      ? {}
      : {
          [`${prefix}ssl.keystore.type`]: 'PKCS12',
          [`${prefix}ssl.keystore.location`]: tlsKeyStore.path,
          [`${prefix}ssl.keystore.password`]: tlsKeyStore.password,
        }),
    ...(users === undefined ? {} : saslProperties(prefix, users)),
    ...(authorize
      ? {
          'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
          // The broker itself, and its controller, are clients of the plain listeners.
          'super.users': 'User:ANONYMOUS',
        }
      : {}),
  };
}

function saslProperties(prefix: string, users: Readonly<Record<string, string>>): Record<string, string> {
  const plainUsers = Object.entries(users).map(([user, password]) => ` user_${user}="${password}"`);
  const security = 'org.apache.kafka.common.security';
  return {
    [`${prefix}sasl.enabled.mechanisms`]: ['PLAIN', ...SCRAM_MECHANISMS].join(','),
    [`${prefix}plain.sasl.jaas.config`]: `${security}.plain.PlainLoginModule required${plainUsers.join('')};`,
    ...Object.fromEntries(
      SCRAM_MECHANISMS.map((mechanism) => [
        `${prefix}${mechanism.toLowerCase()}.sasl.jaas.config`,
        `${security}.scram.ScramLoginModule required;`,
      ]),
    ),
  };
}

/** Arguments of Java that format the log directory of `propertiesFile` with the SCRAM credentials of the users. */
export function scramFormatArguments(
  { classPath, clusterId }: Pick<KafkaDistribution, 'classPath' | 'clusterId'>,
  users: Readonly<Record<string, string>>,
  propertiesFile: string,
): string[] {
  const credentials = Object.entries(users).flatMap(([user, password]) =>
    SCRAM_MECHANISMS.flatMap((mechanism) => ['--add-scram', `${mechanism}=[name=${user},password=${password}]`]),
  );
  return [
    ...['-XX:TieredStopAtLevel=1', '-cp', classPath, 'kafka.tools.StorageTool', 'format'],
    ...['-t', clusterId, '-c', propertiesFile, ...credentials],
  ];
}
