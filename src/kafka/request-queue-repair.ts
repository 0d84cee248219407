/**
 * A repair of kafkajs 2.2.4 (tulios/kafkajs issues 1704 and 1751). After its first response every connection re-arms a
 * timer with a negative delay for ever, although nothing is throttled or pending: some 800 wake-ups per second, and a
 * TimeoutNegativeWarning on Node 24. With neither a throttle nor pending requests there is nothing to check later: the
 * queue checks itself whenever a request is answered.
 */
import RequestQueue from 'kafkajs/src/network/requestQueue/index.js';

interface Queue {
  readonly pending: readonly unknown[];
  readonly throttledUntil: number;
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  checkPendingRequests(): void;
}

/** How soon a queue that holds requests back looks again [ms], as in kafkajs. */
const PENDING_CHECK_MS = 10;

export function repairRequestQueue(): void {
  RequestQueue.prototype.scheduleCheckPendingRequests = function (this: Queue): void {
    const throttledMs = this.throttledUntil - Date.now();
    if (this.throttleCheckTimeoutId !== null || (throttledMs <= 0 && this.pending.length === 0)) return;
    this.throttleCheckTimeoutId = setTimeout(
      () => {
        this.throttleCheckTimeoutId = null;
        this.checkPendingRequests();
      },
      throttledMs > 0 ? throttledMs : PENDING_CHECK_MS,
    );
  };
}
