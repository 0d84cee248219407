/** A broker with TLS, SASL and an authorizer, as a user's cluster has them. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { startLocalBroker, type LocalBroker } from '#nae/broker/local-broker.js';
import { connectAdmin, createKafka, type KafkaConnection } from '#nae/kafka/client.js';
import { silentLogger } from '#nae/telemetry/logger.js';

import { makeBrokerCertificate, type BrokerCertificate } from '../fixtures/key-stores.js';

const log = silentLogger();
const PASSWORD = 'correct-horse-battery';
const folder = mkdtempSync(join(tmpdir(), 'nae-secured-'));
let certificate: BrokerCertificate;
let broker: LocalBroker;

beforeAll(async () => {
  certificate = makeBrokerCertificate(folder, 'broker');
  broker = await startLocalBroker({
    log,
    topics: [{ name: 'seen', partitions: 1 }],
    security: { tlsKeyStore: certificate.keyStore, users: { trigger: PASSWORD, stranger: PASSWORD }, authorize: true },
  });
  const admin = await connectAdmin(createKafka(broker, log), broker);
  await admin.createAcls({
    acl: [
      {
        resourceType: AclResourceTypes.TOPIC,
        resourceName: 'seen',
        resourcePatternType: ResourcePatternTypes.LITERAL,
        principal: 'User:trigger',
        host: '*',
        operation: AclOperationTypes.ALL,
        permissionType: AclPermissionTypes.ALLOW,
      },
    ],
  });
  await admin.disconnect();
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
