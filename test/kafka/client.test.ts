import { once } from 'node:events';
import { createRequire } from 'node:module';
import { createServer, type AddressInfo } from 'node:net';
import { Writable } from 'node:stream';

import { TriggerError } from '#nae/errors.js';
import { brokerError, connectAdmin, createKafka, isRetriable, protocolErrorType } from '#nae/kafka/client.js';
import { silentLogger } from '#nae/telemetry/logger.js';
import { KafkaJSNumberOfRetriesExceeded, KafkaJSProtocolError, Partitioners } from 'kafkajs';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';

/** A pino logger and what it has written. */
function recordingLogger(): { log: ReturnType<typeof silentLogger>; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done): void {
      lines.push(JSON.parse(chunk.toString()) as Record<string, unknown>);
      done();
    },
  });
  return { log: pino({ level: 'debug' }, sink), lines };
}

describe('kafka client', () => {
  test('refuses an empty list of brokers', () => {
    expect(() => createKafka({ brokers: [] }, silentLogger())).toThrow(/expected host:port/);
  });

  test('kafkajs reports go to the logger, none as an error, and no warning about partitioners', async () => {
    const { log, lines } = recordingLogger();
    const kafka = createKafka({ brokers: ['127.0.0.1:1'] }, log);
    kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
    await expect(connectAdmin(kafka, { brokers: ['127.0.0.1:1'] })).rejects.toBeInstanceOf(TriggerError);
    expect(lines.length).toBeGreaterThan(0);
    expect(Math.max(...lines.map(({ level }) => level as number))).toBeLessThanOrEqual(40);
    expect(lines.filter(({ msg }) => String(msg).includes('partitioner'))).toEqual([]);
    expect(lines.some(({ kafka: namespace }) => namespace === 'BrokerPool')).toBe(true);
  });

  test('beginning a transaction while the one before is being ended is routine, other failed sends are warnings', () => {
    const { log, lines } = recordingLogger();
    const producer = createKafka({ brokers: ['127.0.0.1:1'] }, log)
      .logger()
      .namespace('Producer');
    // What kafkajs says of the protocol's error CONCURRENT_TRANSACTIONS.
    const { createErrorFromCode } = createRequire(import.meta.url)('kafkajs/src/protocol/error') as {
      createErrorFromCode: (code: number) => Error;
    };
    const ending = createErrorFromCode(51);
    producer.error(`Failed to send messages: ${ending.message}`, {});
    producer.error('Failed to send messages: Closed connection', {});
    expect(lines.map(({ level }) => level)).toEqual([20, 40]);
  });

  test('a server that accepts and never answers is given up in time', async () => {
    const server = createServer(() => undefined).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const brokers = [`127.0.0.1:${(server.address() as AddressInfo).port}`];
    const before = performance.now();
    await expect(connectAdmin(createKafka({ brokers }, silentLogger()), { brokers })).rejects.toMatchObject({
      code: 'BROKER_FAILED',
      retryable: true,
      message: `cannot reach Kafka at ${brokers[0]}: no answer within 10 s`,
    });
    expect(performance.now() - before).toBeLessThan(11_500);
    server.close();
  });
});

describe('errors of kafkajs', () => {
  const tooLarge = new KafkaJSProtocolError({
    name: 'KafkaJSProtocolError',
    type: 'MESSAGE_TOO_LARGE',
    code: 10,
    retriable: false,
    message: 'too large',
  } as never);

  test('keep their protocol type through wrapping', () => {
    expect(protocolErrorType(new Error('wrapped', { cause: tooLarge }))).toBe('MESSAGE_TOO_LARGE');
    expect(protocolErrorType(new Error('other'))).toBeUndefined();
  });

  test('become TriggerErrors that say whether to try again', () => {
    const exceeded = new KafkaJSNumberOfRetriesExceeded('gone', { retryCount: 3, retryTime: 10 });
    expect(isRetriable(exceeded)).toBe(true);
    expect(isRetriable(tooLarge)).toBe(false);
    expect(brokerError('cannot read', exceeded)).toMatchObject({
      code: 'BROKER_FAILED',
      retryable: true,
      cause: exceeded,
    });
    const own = new TriggerError('SINK_FAILED', 'own');
    expect(brokerError('cannot read', own)).toBe(own);
  });
});
