import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

import { describe, expect, it } from 'vitest';

import { histogramEdge } from '#nae/score/messages.js';
import { serveTelemetry } from '#nae/telemetry/http.js';
import { registerScoreHistogram } from '#nae/telemetry/score-histogram.js';

import { frameOf, plausibleCodes } from '../pipeline/events.js';
import { allScores, path, records, runRecords } from '../pipeline/memory-stream.js';

describe('the pages', () => {
  it('show the stream in the Prometheus text format, score histogram included', async () => {
    const run = await runRecords(records([frameOf(plausibleCodes(500))]), [await path('ae-events-s', 0.05)]);
    const { registry } = run.metrics;
    registerScoreHistogram(registry, [{ path: 'p', counts: () => run.pipeline.totals.histogram(0) }], histogramEdge);
    const pages = await serveTelemetry(registry, 0);
    try {
      const response = await fetch(`${pages.url}/metrics`);
      expect(response.headers.get('content-type')).toContain('text/plain');
      const text = await response.text();
      const value = (line: string): number => Number(new RegExp(`^${line} (.*)$`, 'm').exec(text)?.[1]);
      expect(value('trigger_events_received_total')).toBe(500);
      expect(value('trigger_events_accepted_total')).toBe(run.sink.accepted.length);
      expect(value(String.raw`trigger_score_bucket\{le="\+Inf",path="p"\}`)).toBe(500);
      expect(value(String.raw`trigger_score_count\{path="p"\}`)).toBe(500);
      const below = allScores(run).filter((score) => score < 0.03125).length;
      expect(value(String.raw`trigger_score_bucket\{le="0.03125",path="p"\}`)).toBe(below);
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
