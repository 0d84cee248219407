import { connect, createServer, type AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';

import { Registry } from 'prom-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { histogramEdge } from '#nae/score/messages.js';
import { serveTelemetry, type TelemetryServer } from '#nae/telemetry/http.js';
import { registerScoreHistogram } from '#nae/telemetry/score-histogram.js';

import { frameOf, plausibleCodes } from '../pipeline/events.js';
import { allScores, path, records, runRecords } from '../pipeline/memory-stream.js';

describe('the pages', () => {
  it('show the stream in the Prometheus text format, score histogram included', async () => {
    const run = await runRecords(records([frameOf(plausibleCodes(500))]), [await path('ae-events-s', 0.05)]);
    const { registry } = run.metrics;
    registerScoreHistogram(registry, run.pipeline.totals.histograms, histogramEdge);
    const pages = await serveTelemetry(registry, 0);
    try {
      const response = await fetch(`${pages.url}/metrics`);
      expect(response.headers.get('content-type')).toContain('text/plain');
      const text = await response.text();
      const value = (line: string): number => Number(new RegExp(`^${line} (.*)$`, 'm').exec(text)?.[1]);
      expect(value('trigger_events_received_total')).toBe(500);
      expect(value('trigger_events_accepted_total')).toBe(run.sink.accepted.length);
      expect(value(String.raw`trigger_score_bucket\{le="\+Inf",path="ae-events-s"\}`)).toBe(500);
      expect(value(String.raw`trigger_score_count\{path="ae-events-s"\}`)).toBe(500);
      const below = allScores(run).filter((score) => score < 0.03125).length;
      expect(value(String.raw`trigger_score_bucket\{le="0.03125",path="ae-events-s"\}`)).toBe(below);
      expect((await fetch(`${pages.url}/healthz`)).status).toBe(200);
      expect((await fetch(`${pages.url}/else`)).status).toBe(404);
      expect((await fetch(`${pages.url}/metrics`, { method: 'POST', body: 'x' })).status).toBe(405);
    } finally {
      await pages.close();
    }
  });

  it('refuse a port that is taken', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    const { registry } = (await runRecords([], [await path('ae-events-s', 0)])).metrics;
    await expect(serveTelemetry(registry, port)).rejects.toThrow(`--http-port ${port}`);
    other.close();
  });
});

describe('the pages, from whoever connects', () => {
  let pages: TelemetryServer;
  beforeAll(async () => {
    pages = await serveTelemetry(new Registry(), 0);
  });
  afterAll(() => pages.close());

  /** Send bytes as they are; what comes back until the server hangs up. */
  const raw = (...parts: string[]): Promise<string> =>
    new Promise((resolve) => {
      let received = '';
      const socket = connect(Number(new URL(pages.url).port), '127.0.0.1');
      socket.on('data', (chunk: Buffer) => (received += chunk.toString()));
      // A server that hangs up while more is being sent resets the connection.
      socket.on('error', () => undefined);
      socket.on('close', () => {
        resolve(received);
      });
      for (const part of parts) socket.write(part);
    });
  const status = (answer: string): string => /^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? answer;
  const GET = 'GET /healthz HTTP/1.1\r\nHost: x\r\n';

  it('are answered where the request is one', async () => {
    expect(status(await raw(`${GET}Connection: close\r\n\r\n`))).toBe('200');
    expect(status(await raw('HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'))).toBe('200');
  });

  it.each([
    ['431', 'a long request line', [`GET /${'x'.repeat(9000)} HTTP/1.1\r\nHost: x\r\n\r\n`]],
    ['431', 'a long header', [`${GET}X-Long: ${'x'.repeat(9000)}\r\n\r\n`]],
    ['431', 'many headers', [GET, ...Array.from({ length: 2000 }, (_, at) => `X-${at}: value\r\n`), '\r\n']],
    ['413', 'a body', [`${GET}Content-Length: 10000000000\r\n\r\nx`]],
    ['413', 'a chunked body', [`${GET}Transfer-Encoding: chunked\r\n\r\nffffffff\r\nx`]],
    ['405', 'another method', ['POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello']],
    ['405', 'another method', ['DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n']],
    ['400', 'no HTTP', ['\u0016\u0003\u0001 hello\r\n\r\n']],
    ['400', 'two lengths', [`${GET}Content-Length: 1\r\nContent-Length: 2\r\n\r\nx`]],
  ])('answer %s to %s and hang up', async (expected, _what, parts) => {
    expect(status(await raw(...parts))).toBe(expected);
  });

  it('hang up on a request that does not end', async () => {
    const began = performance.now();
    expect(status(await raw(GET))).toBe('408');
    expect(performance.now() - began).toBeLessThan(15_000);
  });

  it('close connections beyond their number, and go on', async () => {
    const idle = Array.from({ length: 64 }, () => connect(Number(new URL(pages.url).port), '127.0.0.1'));
    await Promise.all(idle.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
    expect(await raw(`${GET}\r\n`)).toBe('');
    await Promise.all(idle.map((socket) => new Promise((resolve) => socket.destroy().once('close', resolve))));
    expect(status(await raw(`${GET}Connection: close\r\n\r\n`))).toBe('200');
  });

  it('are on loopback alone unless told otherwise', async () => {
    const outside = Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .find(({ internal, family }) => !internal && family === 'IPv4');
    expect(new URL(pages.url).hostname).toBe('127.0.0.1');
    if (outside !== undefined) {
      const url = `http://${outside.address}:${new URL(pages.url).port}/healthz`;
      await expect(fetch(url)).rejects.toThrow('fetch failed');
    }
    const everywhere = await serveTelemetry(new Registry(), 0, '0.0.0.0');
    expect((await fetch(`http://127.0.0.1:${new URL(everywhere.url).port}/healthz`)).status).toBe(200);
    await everywhere.close();
    await expect(serveTelemetry(new Registry(), 0, '192.0.2.1')).rejects.toThrow('--http-host 192.0.2.1');
  });
});
