/** Another menu for a running process between topics, under load: each event decided once, by the menu of its place. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { startLocalBroker, type LocalBroker } from '#nae/broker/local-broker.js';
import type { MenuStatus } from '#nae/cli/menu-reloads.js';
import { decodeAcceptedEvent } from '#nae/event/accepted-event.js';
import { encodeFrame } from '#nae/event/frame.js';
import { FrameProducer } from '#nae/replay/frame-producer.js';
import { silentLogger } from '#nae/telemetry/logger.js';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { runCli, startCli } from '../fixtures/cli.js';
import { readTopic } from '../fixtures/read-topic.js';
import { frameOf, plausibleCodes } from '../pipeline/events.js';
import { allScores, path, records, runRecords } from '../pipeline/memory-stream.js';

const FRAME_EVENTS = 64;
const folder = mkdtempSync(join(tmpdir(), 'nae-reload-'));
let broker: LocalBroker;

beforeAll(async () => {
  broker = await startLocalBroker({ log: silentLogger(), topics: [{ name: 'frames', partitions: 2 }] });
});
afterAll(async () => {
  await broker.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('a swap at stated offsets, then one to another model, exactly once', async () => {
  // The same events in every frame, so that what is to come of a frame is known from its menu.
  const frame = frameOf(plausibleCodes(FRAME_EVENTS, 7));
  const bundles = ['ae-events-s', 'nae-events-s'];
  const [ae, nae] = await Promise.all(
    bundles.map(async (name) => allScores(await runRecords(records([frame]), [await path(name, 0)]))),
  );
  const high = (scores: Float32Array, passing: number): number => scores.toSorted((a, b) => b - a)[passing - 1]!;
  const menus = [
    { bundle: bundles[0]!, threshold: high(ae!, 4), scores: ae! },
    { bundle: bundles[0]!, threshold: high(ae!, 8), scores: ae! },
    { bundle: bundles[1]!, threshold: high(nae!, 6), scores: nae! },
  ];

  const producer = await FrameProducer.open({ connection: broker, topic: 'frames', log: silentLogger() });
  const enough = new AbortController();
  let sent = 0;
  const load = (async () => {
    for (let orbit = 0; !enough.signal.aborted; orbit++) {
      await producer.send({ run: 1, orbit, bytes: encodeFrame({ ...frame, orbit }) });
      sent++;
      if (orbit % 10 > 0) continue;
      await producer.flush();
      await delay(20);
    }
    await producer.flush();
    await producer.close();
  })();

  const args = ['--source', 'kafka:frames', '--sink', 'kafka:out', '--brokers', broker.brokers.join(',')];
  const first = ['--model', menus[0]!.bundle, '--threshold', String(menus[0]!.threshold), '--workers', '1'];
  const running = startCli(['run', ...args, ...first]);
  const url = /http:[^/]*\/\/127\.0\.0\.1:\d+/.exec(await running.said('stream up'))![0];
  const reload = (...more: string[]): ReturnType<typeof runCli> =>
    runCli(['reload', '--http-port', new URL(url).port, '--json', '-', ...more]);
  await expect.poll(() => sent, { timeout: 60_000 }).toBeGreaterThan(300);

  // Each partition at an offset of its own, far enough ahead that the shadow is over by then.
  const ahead = sent;
  const swaps = [ahead + 1000, ahead + 1100];
  const threshold = await reload(
    ...['--threshold', String(menus[1]!.threshold), '--shadow-events', '2000'],
    ...['--swap-at', `offsets:0=${swaps[0]!},1=${swaps[1]!}`],
  );
  expect(threshold.stderr).not.toContain('nae-trigger reload:');
  expect(threshold.code).toBe(0);
  const taken = JSON.parse(threshold.stdout) as NonNullable<MenuStatus['last']>;
  expect(taken).toMatchObject({
    outcome: 'taken',
    shadow: { events: 2000, paths: [{ max_score_difference: 0 }] },
    began: expect.arrayContaining([
      expect.objectContaining({ partition: 0, offset: String(swaps[0]) }),
      expect.objectContaining({ partition: 1, offset: String(swaps[1]) }),
    ]) as object,
  });

  // What would flood is refused, and so is a bundle that is none; the running menu goes on.
  const flood = await reload('--threshold', '-1', '--shadow-events', '2000');
  expect([flood.code, flood.stderr]).toEqual([2, expect.stringContaining('menu refused') as string]);
  const none = await reload('--model', folder, '--threshold', '1');
  expect([none.code, none.stderr]).toEqual([2, expect.stringContaining(folder) as string]);

  const model = await reload(
    ...['--model', menus[2]!.bundle, '--threshold', String(menus[2]!.threshold)],
    ...['--shadow-events', '1000', '--shadow-band', 'none'],
  );
  expect(model.code).toBe(0);
  const { began } = JSON.parse(model.stdout) as { began: { partition: number; offset: string }[] };
  const last = [0, 1].map((partition) => Number(began.find((one) => one.partition === partition)!.offset));
  await delay(500);
  enough.abort();
  await load;
  await delay(1000);
  const bounds = (await readTopic(broker.brokers, 'frames')).map(({ length }) => length);
  const decided = async (): Promise<number> => {
    const text = await (await fetch(`${url}/metrics`)).text();
    const value = (name: string): number => Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)![1]);
    return value('trigger_events_accepted_total') + value('trigger_events_rejected_total');
  };
  await expect.poll(decided, { timeout: 60_000 }).toBe((bounds[0]! + bounds[1]!) * FRAME_EVENTS);
  running.process.kill('SIGTERM');
  expect((await running.finished).code).toBe(143);

  const menuOf = (partition: number, offset: number): number =>
    offset >= last[partition]! ? 2 : offset >= swaps[partition]! ? 1 : 0;
  const expected = bounds.flatMap((frames, partition) =>
    Array.from({ length: frames }, (_, offset) => {
      const { bundle, scores, threshold: cut } = menus[menuOf(partition, offset)]!;
      return Array.from(scores.entries()).flatMap(([index, score]) =>
        score >= cut ? [`${partition}/${offset}/${index} ${bundle} ${score} >= ${cut}`] : [],
      );
    }).flat(),
  );
  const found = (await readTopic(broker.brokers, 'out')).flat().map(({ value }) => {
    const { position, index, paths } = decodeAcceptedEvent(value!);
    const [{ model: bundle, score, threshold: cut }] = paths as [(typeof paths)[number]];
    return `${position.partition}/${position.offset}/${index} ${bundle} ${score} >= ${cut}`;
  });
  expect(found.sort()).toEqual(expected.sort());
}, 240_000);
