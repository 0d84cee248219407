/** The 40 MHz report at a cluster that is somebody's. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { startLocalBroker, type LocalBroker } from '#nae/broker/local-broker.js';
import { connectAdmin, createKafka } from '#nae/kafka/client.js';
import { silentLogger } from '#nae/telemetry/logger.js';

import { cli, runCli } from '../fixtures/cli.js';

interface Quantiles {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly p9999: number;
}

interface Report {
  readonly ratios: Readonly<Record<string, Readonly<Record<'s' | 'm', number | null>> | number | null>>;
  readonly events_per_second: Readonly<Record<string, Readonly<Record<'s' | 'm', number>>>>;
  readonly latency_seconds: Readonly<Record<'s' | 'm', Readonly<Record<string, Quantiles>>>>;
  readonly kafka_latency_seconds: Readonly<Record<'s' | 'm', Readonly<Record<string, Quantiles>>>>;
  readonly models: readonly {
    readonly scaling: readonly { readonly workers: number }[];
    readonly kafka: {
      readonly processes: readonly { readonly processes: number; readonly warmEventsPerCpuSecond: number }[];
      readonly live: readonly { readonly stages: { readonly arrival: Quantiles; readonly decision: Quantiles } }[];
    };
  }[];
}

const folder = mkdtempSync(join(tmpdir(), 'nae-benchmark-'));
const log = silentLogger();
let broker: LocalBroker;

beforeAll(async () => {
  broker = await startLocalBroker({ log, topics: [{ name: 'somebodys', partitions: 1 }] });
});
afterAll(async () => {
  await broker.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('the 40 MHz report', () => {
  it('is measured at the brokers that are given, which are left as they were found', async () => {
    const reportDir = join(folder, 'report');
    await cli('benchmark', '--quick', '--brokers', broker.brokers.join(','), '--report-dir', reportDir);
    const report = JSON.parse(readFileSync(join(reportDir, 'report.json'), 'utf8')) as Report;
    for (const size of ['s', 'm'] as const) {
      for (const name of ['recording_to_decision', 'kafka_to_kafka']) {
        expect(report.ratios[name]).toMatchObject({ [size]: expect.any(Number) as number });
      }
      const { sustained, kafka_to_kafka: kafka } = report.events_per_second;
      expect(kafka![size]).toBeGreaterThan(1e4);
      expect(sustained![size]).toBeGreaterThan(1e4);
      expect(Object.keys(report.latency_seconds[size])).toEqual(['0.2', '0.25', '0.5', '0.75', '0.9']);
      for (const { p50, p99, p999, p9999 } of Object.values(report.latency_seconds[size])) {
        expect([p50, p99, p999, p9999]).toEqual([p50, p99, p999, p9999].sort((a, b) => a - b));
        expect(p50).toBeGreaterThan(0);
      }
      expect(report.kafka_latency_seconds[size]['0.2']!.p50).toBeGreaterThan(0);
    }
    expect(report.ratios.exactly_once).toBeGreaterThan(0);
    for (const { kafka } of report.models) {
      expect(kafka.processes.map(({ processes }) => processes)).toEqual([1, 2, 3, 4]);
      for (const { warmEventsPerCpuSecond } of kafka.processes) expect(warmEventsPerCpuSecond).toBeGreaterThan(1e4);
      const { arrival, decision } = kafka.live[0]!.stages;
      expect(decision.p50).toBeGreaterThan(arrival.p50);
    }
    const text = readFileSync(join(reportDir, 'report.md'), 'utf8');
    for (const [, file] of text.matchAll(/!\[.*\]\((.*)\)/g)) expect(existsSync(join(reportDir, file!))).toBe(true);
    expect(readFileSync(join(reportDir, 'report.html'), 'utf8')).toContain('What 40 MHz takes');

    const connection = { brokers: broker.brokers };
    const admin = await connectAdmin(createKafka(connection, log), connection);
    expect((await admin.listTopics()).filter((topic) => !topic.startsWith('__'))).toEqual(['somebodys']);
    expect((await admin.listGroups()).groups).toEqual([]);
    await admin.disconnect();
  }, 400_000);

  it('says at once that the brokers that are given cannot be reached', async () => {
    const began = performance.now();
    const reportDir = join(folder, 'none');
    const { code, stderr } = await runCli(['benchmark', '--brokers', '127.0.0.1:1', '--report-dir', reportDir]);
    expect(code).toBe(1);
    expect(stderr).toContain('cannot reach Kafka at 127.0.0.1:1');
    expect(performance.now() - began).toBeLessThan(60_000);
    expect(existsSync(reportDir)).toBe(false);
  }, 90_000);
});
