/** A broker with TLS, SASL and an authorizer, as a user's cluster has them; the command line in front of it. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { startLocalBroker, type LocalBroker } from '#nae/broker/local-broker.js';
import { connectAdmin, createKafka, type KafkaConnection } from '#nae/kafka/client.js';
import { silentLogger } from '#nae/telemetry/logger.js';

import { runCli, type Finished } from '../fixtures/cli.js';
import { makeBrokerCertificate, type BrokerCertificate } from '../fixtures/key-stores.js';
import { frameOf, plausibleCodes } from '../pipeline/events.js';
import { writeRecording } from '../recording/recordings.js';

const log = silentLogger();
const PASSWORD = 'correct-horse-battery';
const folder = mkdtempSync(join(tmpdir(), 'nae-secured-'));
let certificate: BrokerCertificate;
let broker: LocalBroker;
let otherAuthority: string;
const EVENTS = 500;

beforeAll(async () => {
  certificate = makeBrokerCertificate(folder, 'broker');
  broker = await startLocalBroker({
    log,
    topics: [{ name: 'seen', partitions: 1 }],
    security: { tlsKeyStore: certificate.keyStore, users: { trigger: PASSWORD, stranger: PASSWORD }, authorize: true },
  });
  const admin = await connectAdmin(createKafka(broker, log), broker);
  const allowed: [AclResourceTypes, string][] = [
    ...['seen', 'l1.accepted', 'l1.dead-letter', 'l1.ledger'].map((name): [AclResourceTypes, string] => [
      AclResourceTypes.TOPIC,
      name,
    ]),
    [AclResourceTypes.GROUP, 'nae-trigger'],
    [AclResourceTypes.TRANSACTIONAL_ID, '*'],
  ];
  await admin.createAcls({
    acl: allowed.map(([resourceType, resourceName]) => ({
      resourceType,
      resourceName,
      resourcePatternType: ResourcePatternTypes.LITERAL,
      principal: 'User:trigger',
      host: '*',
      operation: AclOperationTypes.ALL,
      permissionType: AclPermissionTypes.ALLOW,
    })),
  });
  await admin.disconnect();
  otherAuthority = makeBrokerCertificate(folder, 'other').authority;
  await writeRecording(join(folder, 'in.l1f'), [frameOf(plausibleCodes(EVENTS))]);
});
afterAll(async () => {
  await broker.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** What the topics look like to a client of the secured listener. */
async function topicsSeen(connection: Omit<KafkaConnection, 'brokers'>): Promise<string[]> {
  const whole = { brokers: broker.securedBrokers, ...connection };
  const admin = await connectAdmin(createKafka(whole, log), whole);
  try {
    return await admin.listTopics();
  } finally {
    await admin.disconnect();
  }
}

describe('the secured listener', () => {
  it.each(['plain', 'scram-sha-256', 'scram-sha-512'] as const)('lets users in with %s', async (mechanism) => {
    const tls = { ca: [readFileSync(certificate.authority, 'utf8')] };
    const as = (username: string): KafkaConnection['sasl'] => ({ mechanism, username, password: PASSWORD }) as never;
    expect(await topicsSeen({ tls, sasl: as('trigger')! })).toEqual(['seen']);
    // Without an ACL there is nothing to see.
    expect(await topicsSeen({ tls, sasl: as('stranger')! })).toEqual([]);
  });
});

describe('the command line at the secured listener', () => {
  /** KAFKAJS_*: what makes kafkajs log everything, raw requests included. */
  const nosy = { KAFKAJS_LOG_LEVEL: 'DEBUG', KAFKAJS_DEBUG_PROTOCOL_BUFFERS: '1' };
  const run = (...args: string[]): string[] => [
    ...['run', '--source', 'kafka:seen', '--sink', 'kafka:l1.accepted', '--model', 'ae-events-s', '--threshold', '0'],
    ...['--stop-at-end', '--log-level', 'debug', '--json', '-', ...args],
  ];
  const secured = (): string[] => ['--brokers', broker.securedBrokers.join(',')];
  const tls = (): string[] => ['--tls', '--tls-ca', certificate.authority];
  const sasl = (mechanism = 'scram-sha-512'): string[] => ['--sasl-mechanism', mechanism];
  const as = async (user: string, password: string, args: readonly string[]): Promise<Finished> => {
    const finished = await runCli(args, { ...nosy, KAFKA_USERNAME: user, KAFKA_PASSWORD: password });
    // Whatever was done, the password is in nothing that was said, in no form.
    const said = finished.stdout + finished.stderr;
    const bytes = [...Buffer.from(password)];
    for (const form of [password, Buffer.from(password).toString('base64'), bytes.join(','), `\0${user}\0`]) {
      expect(said).not.toContain(form);
    }
    return finished;
  };

  it.each(['plain', 'scram-sha-256', 'scram-sha-512'])('replays and runs over TLS with %s', async (mechanism) => {
    const args = [...secured(), ...tls(), ...sasl(mechanism)];
    const replayed = await as('trigger', PASSWORD, ['replay', join(folder, 'in.l1f'), '--to', 'kafka:seen', ...args]);
    expect(replayed).toMatchObject({ code: 0 });
    const { code, stdout, stderr } = await as('trigger', PASSWORD, run(...args));
    expect(stderr).toContain('SASL');
    expect(JSON.parse(stdout)).toMatchObject({ events: { received: EVENTS, accepted: EVENTS } });
    expect(code).toBe(0);
  });

  it.each<[string, () => Promise<Finished>, RegExp]>([
    [
      'another password',
      () => as('trigger', 'not-the-password', run(...secured(), ...tls(), ...sasl())),
      /cannot reach Kafka .*SASL SCRAM SHA512 authentication failed.*KAFKA_PASSWORD/,
    ],
    [
      'another password, plain',
      () => as('trigger', 'not-the-password', run(...secured(), ...tls(), ...sasl('plain'))),
      /SASL PLAIN authentication failed.*KAFKA_PASSWORD/,
    ],
    [
      'an authority that did not sign',
      () => as('trigger', PASSWORD, run(...secured(), '--tls', '--tls-ca', otherAuthority, ...sasl())),
      /certificate.*--tls-ca/,
    ],
    [
      'the authorities of Node.js alone',
      () => as('trigger', PASSWORD, run(...secured(), '--tls', ...sasl())),
      /certificate.*--tls-ca/,
    ],
    [
      'plain text to a TLS port',
      () => as('trigger', PASSWORD, run(...secured(), ...sasl())),
      /does the listener expect TLS \(--tls\)/,
    ],
    [
      'nobody signed in',
      () => as('trigger', PASSWORD, run(...secured(), ...tls())),
      /does the listener expect SASL \(--sasl-mechanism\)/,
    ],
    [
      'TLS to a plain port',
      () => as('trigger', PASSWORD, run('--brokers', broker.brokers.join(','), ...tls(), ...sasl())),
      /does not seem to speak TLS/,
    ],
    [
      'a user without rights',
      () => as('stranger', PASSWORD, run(...secured(), ...tls(), ...sasl())),
      /[Aa]uthoriz|may see/,
    ],
  ])('says what is wrong and ends with 1: %s', async (_what, runIt, message) => {
    const { code, stderr } = await runIt();
    expect(stderr.trimEnd().split('\n').at(-1)).toMatch(message);
    expect(code).toBe(1);
  });

  it('refuses a password in the address without repeating it', async () => {
    const { code, stderr } = await as('trigger', PASSWORD, run('--brokers', `trigger:${PASSWORD}@127.0.0.1:9092`));
    expect(stderr).toContain('without user and password');
    expect(code).toBe(2);
  });
});
