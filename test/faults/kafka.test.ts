/**
 * Faults between topics: real processes, a real broker, and Kafka's own read_committed consumer, which shares no code
 * with the stream.
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { AclOperationTypes } from 'kafkajs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import type { Running } from '../fixtures/cli.js';
import { ended, SESSION_MS, terminate } from './emulator.js';
import { Api, type ProxiedRequest } from './kafka-proxy.js';
import { KafkaStand, USER } from './kafka-stand.js';

const LONG = process.env.FAULTS === 'long';
/**
 * Makes the input, 27 MB, last for several seconds of a fault [bytes/s]. No slower: heartbeats wait behind a fetch of 8
 * MiB, and a session is 3 s.
 */
const UNHURRIED = 4_000_000;
const FAULTY_THREADS = new URL('../fixtures/faulty-threads.mjs', import.meta.url).href;

let stand: KafkaStand;

beforeAll(async () => {
  stand = await KafkaStand.open();
});
afterAll(() => stand.close());
afterEach(() => {
  stand.proxy.reset();
});

describe('processes that are killed', () => {
  /** The requests of a transaction in their order, but for the one that announces its partitions. */
  const requests = ['Produce', 'AddOffsetsToTxn', 'TxnOffsetCommit', 'EndTxn'] as const;

  it('right before or right after a request of a transaction', async () => {
    const emulator = stand.emulator('cut');
    let longest = 0;
    for (const name of requests) {
      for (const moment of ['onRequest', 'onAnswer'] as const) {
        const before = await emulator.committed();
        const began = performance.now();
        const running = emulator.start('--transaction-max-frames', '4');
        // Not in the first transaction of a partition: there is something to lose by then.
        let left = 6;
        stand.proxy[moment] = ({ api, transactionalId }: ProxiedRequest) => {
          if (api !== Api[name] || transactionalId === undefined || left-- > 0) return undefined;
          running.process.kill('SIGKILL');
          return 'drop';
        };
        longest = Math.max(longest, await emulator.progress(before, began));
        expect((await ended(running)).code).toBeNull();
        stand.proxy.reset();
      }
    }
    const fault = 'SIGKILL before and after each request of a transaction';
    await emulator.conclude({ fault, repetitions: 2 * requests.length, recoverySeconds: longest });
  });

  it.runIf(LONG)('at random moments', async () => {
    // More than thirty processes get through at this speed between their start and their end.
    const input = await stand.fill('many-frames', 12);
    const emulator = stand.emulator('killed', input);
    const kills = 30;
    let longest = 0;
    stand.proxy.bytesPerSecond = UNHURRIED;
    for (let kill = 0; kill < kills; kill++) {
      const before = await emulator.committed();
      expect(before).toBeLessThan(input.frames);
      const began = performance.now();
      const running = emulator.start();
      await running.said('partitions assigned');
      // Let it get to work in most cases; some are killed while they claim their partitions.
      if (Math.random() < 0.9) longest = Math.max(longest, await emulator.progress(before, began));
      await sleep(Math.random() * 200);
      running.process.kill('SIGKILL');
      expect((await running.finished).code).toBeNull();
    }
    stand.proxy.reset();
    // Otherwise the last ones had nothing to do.
    expect(await emulator.committed()).toBeLessThan(input.frames);
    const fault = 'SIGKILL at random moments, Kafka to Kafka';
    await emulator.conclude({ fault, repetitions: kills, recoverySeconds: longest });
  });
});

describe('processes of a group', () => {
  it('that join and leave every few seconds', async () => {
    const input = LONG ? await stand.fill('churned-frames', 6) : stand.input;
    const emulator = stand.emulator('rebalanced', input);
    stand.proxy.bytesPerSecond = UNHURRIED;
    const members: Running[] = [];
    const changes = LONG ? 20 : 6;
    for (let change = 0; change < changes; change++) {
      if (members.length === 0 || (members.length < 4 && Math.random() < 0.6)) members.push(emulator.start());
      else {
        const [leaving] = members.splice(Math.floor(Math.random() * members.length), 1);
        // Every second one leaves without a word.
        if (change % 2 === 0) leaving!.process.kill('SIGKILL');
        else await terminate(leaving!);
      }
      await sleep(1000 + Math.random() * 2000);
    }
    stand.proxy.reset();
    await Promise.all(members.map((member) => terminate(member)));
    await emulator.conclude({
      fault: 'processes join, leave and are killed every 1 to 3 s, 4 partitions',
      repetitions: changes,
    });
  });

  it.each([
    ['just before it is fenced', Api.InitProducerId],
    ['after its successor began to write', Api.Produce],
  ])('one that stands still while its commits are on their way, which arrive %s', async (when, sign) => {
    const emulator = stand.emulator(`zombie-${sign}`);
    const zombie = emulator.start();
    const held: ProxiedRequest[] = [];
    let answered = 0;
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    let successorsFrom = Infinity;
    stand.proxy.onAnswer = (request) => {
      if (held.includes(request)) answered++;
      return undefined;
    };
    await emulator.progress();
    stand.proxy.onRequest = async (request) => {
      const { api, connection, transactionalId } = request;
      if (connection < successorsFrom) {
        if (api !== Api.EndTxn) return undefined;
        held.push(request);
        await released;
      } else if (api === sign && transactionalId !== undefined) {
        release();
        while (answered < held.length) await sleep(5);
      }
      return undefined;
    };
    for (let waited = 0; held.length < 4 && waited < 100; waited++) await sleep(50);
    expect(held.length).toBeGreaterThan(0);
    zombie.process.kill('SIGSTOP');
    successorsFrom = stand.proxy.connections;
    const before = await emulator.committed();
    const began = performance.now();
    const successor = emulator.start();
    await successor.said('partitions assigned');
    const recoverySeconds = await emulator.progress(before, began);
    zombie.process.kill('SIGCONT');
    if (sign === Api.Produce) await zombie.said('another process has taken the partition over');
    await sleep(1000);
    await terminate(zombie);
    await terminate(successor);
    await emulator.conclude({
      fault: `a stopped process whose commits arrive ${when}`,
      repetitions: held.length,
      recoverySeconds,
    });
  });
});

describe('a broker', () => {
  it('that stands still for longer than a session', async () => {
    const emulator = stand.emulator('stopped');
    stand.proxy.bytesPerSecond = UNHURRIED;
    const running = emulator.start();
    await emulator.progress();
    const before = await emulator.committed();
    process.kill(stand.broker.pid, 'SIGSTOP');
    await sleep(2 * SESSION_MS);
    process.kill(stand.broker.pid, 'SIGCONT');
    const recoverySeconds = await emulator.progress(before);
    await sleep(2000);
    await terminate(running);
    stand.proxy.reset();
    const fault = 'broker stopped for 6 s, twice the session';
    await emulator.conclude({ fault, repetitions: 1, recoverySeconds });
  });

  it('that is killed and comes back', async () => {
    const emulator = stand.emulator('broker-killed');
    const kills = LONG ? 2 : 1;
    stand.proxy.bytesPerSecond = UNHURRIED;
    const running = emulator.start();
    let longest = 0;
    for (let kill = 0, seen = 0; kill < kills; kill++) {
      await emulator.progress(seen);
      seen = await emulator.committed();
      process.kill(stand.broker.pid, 'SIGKILL');
      await sleep(500);
      await stand.restartBroker();
      longest = Math.max(longest, await emulator.progress(seen));
    }
    const { stderr } = await terminate(running);
    // Which of them depends on what was under way: between two transactions it is the consumer alone.
    expect(stderr).toMatch(
      /transaction failed; its frames will be read again|partition cannot be claimed yet|Restarting the consumer/,
    );
    stand.proxy.reset();
    const fault = 'broker SIGKILL and restart';
    await emulator.conclude({ fault, repetitions: kills, recoverySeconds: longest });
  });

  it.runIf(LONG)('that does not come back ends the process with the reason', async () => {
    const emulator = stand.emulator('broker-gone');
    stand.proxy.bytesPerSecond = UNHURRIED;
    const running = emulator.start();
    await emulator.progress();
    process.kill(stand.broker.pid, 'SIGKILL');
    const { code, stderr } = await ended(running);
    expect(code, stderr).toBe(1);
    expect(stderr.trimEnd().split('\n').at(-1)).toMatch(
      /reading topic frames .* failed|transactions .* fail|cannot (claim|write)/,
    );
    await stand.restartBroker();
    stand.proxy.reset();
    await emulator.conclude({ fault: 'broker gone until the process gave up', repetitions: 1 });
  });

  it('that is slow', async () => {
    const emulator = stand.emulator('slow');
    stand.proxy.latencyMs = 50;
    stand.proxy.bytesPerSecond = UNHURRIED;
    const fault = 'slow broker: 50 ms each way, 4 MB/s';
    await emulator.conclude({ fault, repetitions: 1 });
  });
});

describe('scoring workers', () => {
  /** What a process needs so that its workers fail as often as there are kinds given. */
  const failures = (...kinds: string[]): NodeJS.ProcessEnv => {
    const folder = mkdtempSync(join(tmpdir(), 'nae-faulty-'));
    for (const [at, kind] of kinds.entries()) writeFileSync(join(folder, `${kind}.${at}`), '');
    return { FAULTY_WORKER_TOKENS: folder, NODE_OPTIONS: `--import ${FAULTY_THREADS}` };
  };

  it('that throw, die and cannot load a model', async () => {
    const emulator = stand.emulator('workers');
    const kinds = ['load-throws', 'throws', 'exits'];
    // Else a fast machine has scored everything before the third has had its turn.
    stand.proxy.bytesPerSecond = UNHURRIED;
    const last = emulator.startIn(failures(...kinds), '--stop-at-end', '--workers', '2');
    const told = { fault: 'a worker that cannot load, one that throws, one that dies', repetitions: kinds.length };
    const { stderr } = await emulator.conclude(told, last);
    for (const reason of ['no session today', 'thrown on purpose', 'exited with code 7']) {
      expect(stderr).toMatch(new RegExp(`${reason}.*scoring worker failed; its batches go to others`));
    }
    stand.proxy.reset();
  });

  it('none of which can load a model end the process with the reason', async () => {
    const emulator = stand.emulator('no-workers');
    const environment = failures(...new Array<string>(20).fill('load-throws'));
    const { code, stderr } = await emulator.startIn(environment, '--workers', '2').finished;
    expect(code).toBe(1);
    expect(stderr).toMatch(/a scoring worker failed: .*no session today/);
  });
});

describe('what the cluster refuses', () => {
  it('an output topic that is missing and may not be created', async () => {
    const emulator = stand.emulator('missing');
    await stand.deny(emulator.topic, AclOperationTypes.CREATE);
    const { code, stderr } = await ended(emulator.startIn(USER, ...stand.signedIn));
    expect(code).toBe(1);
    expect(stderr).toMatch(new RegExp(`cannot create ${emulator.topic}.*[Aa]uthoriz`));
    await stand.allow(emulator.topic);
    const last = emulator.startIn(USER, ...stand.signedIn, '--stop-at-end');
    await emulator.conclude({ fault: 'output topic missing, later there', repetitions: 1 }, last);
  });

  it('writing, from one moment on', async () => {
    const emulator = stand.emulator('refused');
    const running = emulator.startIn(USER, ...stand.signedIn, '--max-in-flight-bytes', '100000');
    await emulator.progress();
    await stand.deny(emulator.topic, AclOperationTypes.WRITE);
    const { code, stderr } = await ended(running);
    expect(code).toBe(1);
    expect(stderr).toMatch(/cannot write .* messages to kafka:refused-accepted.*[Aa]uthoriz/);
    await stand.allow(emulator.topic);
    const last = emulator.startIn(USER, ...stand.signedIn, '--stop-at-end');
    await emulator.conclude({ fault: 'right to write withdrawn, later given', repetitions: 1 }, last);
  });

  it('messages of the size of a transaction', async () => {
    const emulator = stand.emulator('large');
    await stand.asAdmin((admin) => admin.createTopics({ topics: [{ topic: emulator.topic }] }));
    await stand.setMaxMessageBytes(emulator.topic, 1000);
    const { code, stderr } = await ended(emulator.start());
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /too large for one of large-accepted, \d+ bytes: .*l1\.ledger.*raise its max\.message\.bytes/,
    );
    await stand.setMaxMessageBytes(emulator.topic, 1_000_000);
    await emulator.conclude({ fault: 'messages too large for the topic, later not', repetitions: 1 });
  });

  it.runIf(LONG)('writing to a topic that is deleted meanwhile', async () => {
    const emulator = stand.emulator('deleted');
    const running = emulator.start('--max-in-flight-bytes', '100000');
    await emulator.progress();
    await stand.asAdmin((admin) => admin.deleteTopics({ topics: [emulator.topic] }));
    const { code, stderr } = await ended(running);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /is one of deleted-accepted, .* missing|transactions of partition \d of frames fail: .*topic-partition/,
    );
  });
});
