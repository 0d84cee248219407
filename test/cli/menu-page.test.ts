/** Another menu asked for by signal or over HTTP, of a running stream with real workers and bundles. */
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { menuPage } from '#nae/cli/menu-page.js';
import { MenuReloads, type MenuLoader, type MenuStatus } from '#nae/cli/menu-reloads.js';
import type { MenuRequest } from '#nae/cli/menu-request.js';
import { openPaths, openPool, openPoolBeside } from '#nae/cli/models.js';
import { DEFAULT_FRAME_LIMITS, encodeFrame } from '#nae/event/frame.js';
import { Pipeline } from '#nae/pipeline/pipeline.js';
import type { Intake } from '#nae/source/source.js';
import { Happenings } from '#nae/telemetry/happenings.js';
import { serveTelemetry, type TelemetryServer } from '#nae/telemetry/http.js';
import { silentLogger } from '#nae/telemetry/logger.js';
import { Metrics } from '#nae/telemetry/metrics.js';

import { framesOf, plausibleCodes } from '../pipeline/events.js';
import { BUNDLES, MemorySink, MemorySource, record } from '../pipeline/memory-stream.js';

const FRAME = 100;
const frames = framesOf(plausibleCodes(20 * FRAME, 3), new Array<number>(20).fill(FRAME)).map(encodeFrame);
const SCORING = {
  workers: 1,
  maxWorkerReplacements: 3,
  device: 'cpu',
  quantise: 'hw32',
  batchEvents: 256,
  inferenceRows: 64,
} as const;

/** The same frames again and again, until it is stopped. */
class EndlessSource extends MemorySource {
  override async run(intake: Intake, stop: AbortSignal): Promise<void> {
    for (; !stop.aborted; this.offered++) {
      const full = intake.offer(record(frames[this.offered % frames.length]!, this.offered));
      if (full !== undefined) await full;
      intake.idle();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }
}

describe('the page /menu', () => {
  let pages: TelemetryServer;
  let reloads: MenuReloads;
  let sink: MemorySink;
  let configured: () => MenuRequest;
  let end: () => Promise<void>;
  let metrics: Metrics;

  beforeEach(async () => {
    metrics = new Metrics();
    const happenings = new Happenings(silentLogger(), metrics);
    const paths = await openPaths({ model: ['ae-events-s'], targetRate: 1e-3, threshold: undefined, quantise: 'hw32' });
    const pool = await openPool(paths, SCORING, happenings);
    sink = new MemorySink();
    const pipeline = new Pipeline(new EndlessSource([]), pool, sink, happenings, {
      limits: DEFAULT_FRAME_LIMITS,
      maxInFlightBytes: 1024 * 1024,
      maxBatchDelayMs: 1,
    });
    configured = () => {
      throw new Error('nothing is configured');
    };
    const menus: MenuLoader = {
      configured: () => configured(),
      open: async (asked, running) =>
        openPoolBeside(running, await openPaths({ ...asked, quantise: 'hw32' }), SCORING, happenings),
    };
    reloads = new MenuReloads(pipeline, pool, happenings, menus);
    pages = await serveTelemetry(metrics.registry, 0, '127.0.0.1', { '/menu': menuPage(reloads, true) });
    const stop = new AbortController();
    const running = pipeline.run(stop.signal);
    end = async () => {
      stop.abort();
      await running;
      await pages.close();
      await reloads.close();
    };
  });
  afterEach(() => end());

  const get = async (): Promise<MenuStatus> => (await fetch(`${pages.url}/menu`)).json() as Promise<MenuStatus>;
  const send = async (
    method: string,
    body?: unknown,
    headers: object = {},
  ): Promise<{ status: number; answer: unknown }> => {
    const response = await fetch(`${pages.url}/menu`, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    return { status: response.status, answer: await response.json() };
  };
  const outcomeOf = async (id: number): Promise<NonNullable<MenuStatus['last']>> => {
    await expect.poll(async () => (await get()).last?.id, { timeout: 30_000 }).toBe(id);
    return (await get()).last!;
  };
  const ask = async (body: object): Promise<NonNullable<MenuStatus['last']>> => {
    const { status, answer } = await send('POST', body);
    expect([status, answer]).toEqual([202, { change: expect.any(Number) as number }]);
    return outcomeOf((answer as { change: number }).change);
  };

  it('shows the menu, takes another, and goes on with its models where only a threshold is named', async () => {
    expect(await get()).toMatchObject({ generation: 1, paths: [{ path: 'ae-events-s' }], change: null, last: null });
    const taken = await ask({ model: 'nae-events-s', 'shadow-events': 500, 'shadow-band': 'none' });
    expect(taken).toMatchObject({
      id: 1,
      asked_by: 'http',
      outcome: 'taken',
      state: 'done',
      from: [{ path: 'ae-events-s' }],
      to: [{ path: 'nae-events-s', model: 'nae-events-s' }],
      shadow: { events: 500, paths: [{ path: 'nae-events-s', running_path: 'ae-events-s' }] },
    });
    const { generation, paths } = await get();
    expect([generation, paths[0]!.path]).toEqual([2, 'nae-events-s']);
    const again = await ask({ threshold: 0, 'shadow-events': 0 });
    expect(again).toMatchObject({ outcome: 'taken', to: [{ path: 'nae-events-s', threshold: 0 }], shadow: null });
    const before = sink.accepted.length;
    await expect.poll(() => sink.accepted.length).toBeGreaterThan(before + 10 * FRAME);
    // Accepted events and metrics name the menu.
    expect(sink.accepted.at(-1)!.paths).toEqual([
      expect.objectContaining({ path: 'nae-events-s', modelSha256: paths[0]!.sha256, threshold: 0 }),
    ]);
    const text = await (await fetch(`${pages.url}/metrics`)).text();
    expect(text).toContain('trigger_menu_generation 3\n');
    expect(text).toContain('trigger_menu_changes_total{outcome="taken"} 2\n');
    expect(text).toContain(
      `trigger_menu_info{path="nae-events-s",model_sha256="${paths[0]!.sha256}",threshold="0"} 1\n`,
    );
    expect(text).not.toContain('trigger_menu_info{path="ae-events-s"');
  }, 60_000);

  it('refuses a menu by its shadow rate and a bundle that does not hold; the running one goes on', async () => {
    // These events are no background: what is calibrated accepts many of them.
    expect(await ask({ threshold: 99, 'shadow-events': 0 })).toMatchObject({ outcome: 'taken' });
    const flood = await ask({ threshold: -1, 'shadow-events': 1000, 'shadow-band': '2' });
    expect(flood).toMatchObject({ outcome: 'refused', shadow: { candidate: { accepted: 1000 } } });
    const folder = await mkdtemp(join(tmpdir(), 'nae-menu-'));
    try {
      await cp(join(BUNDLES, 'ae-events-s'), folder, { recursive: true });
      const parity = {
        tolerance: { relative: 0, absolute: 0 },
        inputs: new Array(256).fill(new Array(57).fill(1)),
        scores: new Array(256).fill(0.5),
      };
      await writeFile(join(folder, 'parity.json'), JSON.stringify(parity));
      const bad = await ask({ model: folder, threshold: 1 });
      expect(bad).toMatchObject({ outcome: 'refused' });
      expect('reason' in bad && bad.reason).toMatch(/parity\.json: input 0: expected score 0\.5/);
    } finally {
      await rm(folder, { recursive: true });
    }
    const none = await ask({ model: '/nowhere', threshold: 1 });
    expect('reason' in none && none.reason).toContain('/nowhere');
    expect(await get()).toMatchObject({ generation: 2, paths: [{ path: 'ae-events-s', threshold: 99 }], change: null });
    const changes = (await metrics.menuChanges.get()).values.map(({ labels, value }) => [labels.outcome, value]);
    expect(Object.fromEntries(changes)).toEqual({ taken: 1, refused: 3 });
  }, 60_000);

  it('takes one change at a time, which can be given up while it waits', async () => {
    const waiting = { threshold: 5, 'shadow-events': 0, 'swap-at': 'section:9/0' };
    expect(await send('POST', waiting)).toEqual({ status: 202, answer: { change: 1 } });
    expect(await send('POST', waiting)).toMatchObject({
      status: 409,
      answer: { error: expect.stringContaining('change 1') as string },
    });
    process.emit('SIGHUP');
    await expect.poll(async () => (await get()).change?.state, { timeout: 30_000 }).toBe('awaiting');
    expect((await get()).change).toMatchObject({ swap_at: 'section:9/0', awaited: [0] });
    expect(await send('DELETE')).toMatchObject({ status: 200 });
    expect(await outcomeOf(1)).toMatchObject({ outcome: 'cancelled' });
    expect(await send('DELETE')).toMatchObject({ status: 409 });
  }, 60_000);

  it('takes students with a menu, keeps them where nothing is said of them, and lets go of them', async () => {
    const taken = await ask({ model: 'nae-events-s', 'target-rate': 1e-3, cascade: true, 'shadow-events': 0 });
    const student = { sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string, cut: expect.any(Number) as number };
    expect(taken).toMatchObject({ outcome: 'taken', to: [{ path: 'nae-events-s', student }] });
    expect(await ask({ 'target-rate': 1e-4, 'shadow-events': 0 })).toMatchObject({ to: [{ student }] });
    const without = await ask({ cascade: false, 'shadow-events': 0 });
    expect(without).toMatchObject({ outcome: 'taken', from: [{ student }] });
    expect('to' in without && without.to[0]).not.toHaveProperty('student');
    const none = await ask({ model: 'ae-events-s', 'target-rate': 1e-3, cascade: true, 'shadow-events': 0 });
    expect('reason' in none && none.reason).toMatch(/ae-events-s has no student/);
  }, 60_000);

  it('comes on SIGHUP with what is configured then', async () => {
    const asked = {
      targetRate: undefined,
      threshold: [0.1],
      cascade: undefined,
      swapAt: 'next-frame',
      shadowEvents: 0,
      shadowBand: '3',
    };
    configured = () => ({ ...asked, model: ['nae-events-s'] });
    process.emit('SIGHUP');
    expect(await outcomeOf(1)).toMatchObject({ asked_by: 'signal', outcome: 'taken', generation: 2 });
    configured = () => ({ ...asked, model: ['no-such-bundle'] });
    process.emit('SIGHUP');
    expect(await outcomeOf(2)).toMatchObject({ outcome: 'refused' });
    expect((await get()).generation).toBe(2);
  }, 60_000);

  it.each<[number, unknown]>([
    [400, 'no JSON'],
    [400, '['.repeat(60_000)],
    [400, [1]],
    [400, null],
    [400, {}],
    [400, { 'shadow-events': 3 }],
    [400, { threshold: null }],
    [400, { threshold: [] }],
    [400, { threshold: {} }],
    [400, { threshold: '1e999' }],
    [400, { threshold: 'NaN' }],
    [400, { model: ['ae-events-s', ['x']], threshold: 1 }],
    [400, { model: new Array(100).fill('ae-events-s'), threshold: 1 }],
    [400, { 'target-rate': 2 }],
    [400, { threshold: 1, 'swap-at': 'yesterday' }],
    [400, { threshold: 1, 'swap-at': 'offsets:0=1,0=2' }],
    [400, { threshold: 1, 'shadow-events': -1 }],
    [400, { threshold: 1, 'shadow-band': '0.5' }],
    [400, { threshold: 1, 'shadow-band': '1e-3..1e-4' }],
    [400, '{"__proto__": {"threshold": 1}}'],
    [400, '{"threshold": 1, "__proto__": 1}'],
    [400, { threshold: 1, source: '/etc/passwd' }],
    [413, { model: 'x'.repeat(70_000), threshold: 1 }],
  ])('answers %i to a body that is no request', async (status, body) => {
    const { status: answered, answer } = await send('POST', body);
    expect([answered, typeof (answer as { error: unknown }).error]).toEqual([status, 'string']);
    expect(await get()).toMatchObject({ generation: 1, change: null, last: null });
  });

  it('takes nothing that a web page may have sent', async () => {
    const { port } = new URL(pages.url);
    const status = (headers: Record<string, string>): Promise<number> =>
      new Promise((resolve, reject) => {
        const message = request({ port, host: '127.0.0.1', path: '/menu', method: 'POST', headers }, (response) => {
          response.resume();
          resolve(response.statusCode!);
        });
        message.on('error', reject);
        message.end('{"threshold": 5, "shadow-events": 0}');
      });
    const type = { 'content-type': 'application/json' };
    expect(await status({ ...type, host: 'evil.example' })).toBe(403);
    expect(await status({ ...type, origin: 'http://127.0.0.1:1' })).toBe(403);
    expect(await status({ ...type, 'sec-fetch-site': 'cross-site' })).toBe(403);
    expect(await status({ 'content-type': 'text/plain' })).toBe(415);
    expect(await status({ ...type, host: `localhost:${port}` })).toBe(202);
  });

  it('is for reading only where it is switched off', async () => {
    const closed = await serveTelemetry(metrics.registry, 0, '127.0.0.1', { '/menu': menuPage(reloads, false) });
    expect((await fetch(`${closed.url}/menu`)).status).toBe(200);
    expect((await fetch(`${closed.url}/menu`, { method: 'POST', body: '{}' })).status).toBe(405);
    expect((await fetch(`${closed.url}/menu`, { method: 'DELETE' })).status).toBe(405);
    await closed.close();
  });

  it('says no secret', async () => {
    process.env.KAFKA_PASSWORD = 'correct horse';
    try {
      const refused = await ask({ model: '/tmp/correct horse', threshold: 1 });
      expect(JSON.stringify(refused)).not.toContain('correct horse');
      expect(JSON.stringify(refused)).toContain('[redacted]');
      const { answer } = await send('POST', { 'correct horse': 1 });
      expect(JSON.stringify(answer)).toContain('unknown option [redacted]');
    } finally {
      delete process.env.KAFKA_PASSWORD;
    }
  });
});
