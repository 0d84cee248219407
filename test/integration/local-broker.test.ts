import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { probeLocalBroker } from '#nae/broker/kafka-distribution.js';
import { startLocalBroker } from '#nae/broker/local-broker.js';
import { TriggerError } from '#nae/errors.js';
import { connectAdmin, createKafka } from '#nae/kafka/client.js';
import { silentLogger } from '#nae/telemetry/logger.js';
import { describe, expect, test } from 'vitest';

const log = silentLogger();

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function eventually(condition: () => boolean, seconds: number): Promise<boolean> {
  const deadline = Date.now() + seconds * 1000;
  while (!condition() && Date.now() < deadline) await delay(50);
  return condition();
}

function workFolders(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.startsWith('nae-trigger-kafka-'));
}

describe('local broker', () => {
  test('starts with its topics, answers, keeps its data where asked to, and stops', async () => {
    const dataDirectory = mkdtempSync(path.join(tmpdir(), 'nae-trigger-data-'));
    const before = workFolders(tmpdir());
    try {
      const first = await startLocalBroker({ log, topics: [{ name: 'l1.frames', partitions: 3 }], dataDirectory });
      expect(isAlive(first.pid)).toBe(true);
      const admin = await connectAdmin(createKafka(first, log), first);
      const { topics } = await admin.fetchTopicMetadata({ topics: ['l1.frames'] });
      expect(topics[0]?.partitions).toHaveLength(3);
      await admin.disconnect();
      await first.stop();
      expect(isAlive(first.pid)).toBe(false);

      const second = await startLocalBroker({ log, dataDirectory });
      const again = await connectAdmin(createKafka(second, log), second);
      expect(await again.listTopics()).toContain('l1.frames');
      await again.disconnect();
      await second.stop();
      await second.stop();
      expect(workFolders(tmpdir())).toEqual(before);
      expect(existsSync(path.join(dataDirectory, 'meta.properties'))).toBe(true);
    } finally {
      rmSync(dataDirectory, { recursive: true, force: true });
    }
  });

  test.each([
    { ending: 'SIGKILL', status: null },
    { ending: 'Ctrl-C', status: 42 },
    { ending: 'normal end', status: 0 },
  ])('ends, and leaves nothing behind, when its starter ends: $ending', async ({ ending, status }) => {
    const temporary = mkdtempSync(path.join(tmpdir(), 'nae-trigger-starter-'));
    const fixture = fileURLToPath(new URL('../fixtures/broker-starter.mjs', import.meta.url));
    const starter = spawn(process.execPath, [fixture, ending], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, TMPDIR: temporary },
      detached: true,
    });
    const exited = once(starter, 'exit');
    try {
      const [line] = (await once(starter.stdout, 'data')) as [Buffer];
      const { pid, port } = JSON.parse(line.toString()) as { pid: number; port: number };
      if (ending === 'SIGKILL') {
        expect(isAlive(pid)).toBe(true);
        starter.kill('SIGKILL');
      }
      // what a terminal does: the signal goes to the whole process group
      if (ending === 'Ctrl-C') process.kill(-starter.pid!, 'SIGINT');
      expect((await exited)[0]).toBe(status);
      expect(await eventually(() => !isAlive(pid), 10)).toBe(true);
      expect(await eventually(() => workFolders(temporary).length === 0, 5)).toBe(true);
      const [error] = (await once(connect(port, '127.0.0.1'), 'error')) as [NodeJS.ErrnoException];
      expect(error.code).toBe('ECONNREFUSED');
    } finally {
      starter.kill('SIGKILL');
      rmSync(temporary, { recursive: true, force: true });
    }
  });

  test('says why it did not start, with the end of its log', async () => {
    const before = workFolders(tmpdir());
    const start = startLocalBroker({ log, properties: { 'num.network.threads': 'many' } });
    const error = await start.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(TriggerError);
    expect((error as TriggerError).code).toBe('BROKER_FAILED');
    expect((error as TriggerError).message).toMatch(/did not start: it ended \(exit 1\)[^]*num\.network\.threads/);
    expect(workFolders(tmpdir())).toEqual(before);
  });

  test('says that Java is missing', async () => {
    const { JAVA_HOME: home } = process.env;
    process.env.JAVA_HOME = '/nowhere/jdk';
    try {
      expect(await probeLocalBroker()).toMatch(
        /needs Java 17 or newer; no working java in JAVA_HOME \(\/nowhere\/jdk\)/,
      );
      await expect(startLocalBroker({ log })).rejects.toMatchObject({ code: 'BROKER_FAILED' });
    } finally {
      if (home === undefined) delete process.env.JAVA_HOME;
      else process.env.JAVA_HOME = home;
    }
    expect(await probeLocalBroker()).toBeUndefined();
  });
});
