/**
 * One function per happening, so that the log line and the metric of the same thing cannot drift apart.
 */
import type { Logger } from './logger.js';
import type { Metrics } from './metrics.js';

export class Happenings {
  readonly log: Logger;
  readonly metrics: Metrics;

  constructor(log: Logger, metrics: Metrics) {
    this.log = log;
    this.metrics = metrics;
  }

  consumerAssigned(topic: string, partitions: readonly number[]): void {
    this.metrics.rebalances.inc();
    this.log.info({ topic, partitions }, 'partitions assigned');
  }

  consumerRevoked(topic: string, partitions: readonly number[]): void {
    for (const partition of partitions) this.metrics.consumerLag.remove({ topic, partition: String(partition) });
    this.log.info({ topic, partitions }, 'partitions revoked');
  }

  consumerLag(topic: string, partition: number, frames: number): void {
    this.metrics.consumerLag.set({ topic, partition: String(partition) }, frames);
  }

  offsetCommitFailed(topic: string, reason: string): void {
    this.log.warn({ topic, reason }, 'offset commit failed; frames since the last commit may be delivered again');
  }
}
