import { createRequire } from 'node:module';

import { repairRequestQueue } from '#nae/kafka/request-queue-repair.js';
import { describe, expect, test } from 'vitest';

const requireModule = createRequire(import.meta.url);

interface Queue {
  pending: unknown[];
  throttledUntil: number;
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  checkPendingRequests(): void;
}

const logger = { namespace: () => logger, debug: (): void => undefined };

function queue(): Queue {
  repairRequestQueue();
  const Constructor = requireModule('kafkajs/src/network/requestQueue/index.js') as new (options: object) => Queue;
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
