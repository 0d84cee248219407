/// <reference path="../../src/kafka/kafkajs-internals.d.ts" />
import { repairRequestQueue } from '#nae/kafka/request-queue-repair.js';
import RequestQueue from 'kafkajs/src/network/requestQueue/index.js';
import { describe, expect, test } from 'vitest';

interface Queue {
  pending: unknown[];
  throttledUntil: number;
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  checkPendingRequests(): void;
}

const logger = { namespace: () => logger, debug: (): void => undefined };

function queue(): Queue {
  repairRequestQueue();
  const Constructor = RequestQueue as unknown as new (options: object) => Queue;
  return new Constructor({ maxInFlightRequests: 1, requestTimeout: 1000, clientId: 'c', broker: 'b', logger });
}

describe('request queue of kafkajs', () => {
  test('sets no timer where nothing is pending or throttled', () => {
    const idle = queue();
    idle.checkPendingRequests();
    expect(idle.throttleCheckTimeoutId).toBeNull();
  });

  test('looks again once a throttle is over', async () => {
    const throttled = queue();
    throttled.throttledUntil = Date.now() + 30;
    throttled.checkPendingRequests();
    expect(throttled.throttleCheckTimeoutId).not.toBeNull();
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(throttled.throttleCheckTimeoutId).toBeNull();
  });
});
