/**
 * One function per happening, so that the log line and the metric of the same thing cannot drift apart.
 */
import type { SourcePosition } from '../event/accepted-event.js';
import type { Logger } from './logger.js';
import type { Metrics } from './metrics.js';

/** What is said of a menu. */
interface LoggedMenu {
  readonly generation: number;
  readonly paths: readonly {
    readonly name: string;
    readonly threshold: number;
    readonly bundle: { readonly manifest: { readonly sha256: string } };
  }[];
}

export class Happenings {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly #seen = new Map<string, number>();

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

  /** A partition's claim ended though nobody gave it up: what was not committed is read again. */
  claimLost(topic: string, partition: number, fenced: boolean, reason: string): void {
    this.metrics.claimsLost.inc({ cause: fenced ? 'fenced' : 'failed' });
    this.log[fenced ? 'info' : 'warn'](
      { topic, partition, reason },
      fenced
        ? 'another process has taken the partition over; what was not committed is left to it'
        : 'transaction failed; its frames will be read again',
    );
  }

  claimFailed(topic: string, partition: number, reason: string): void {
    this.log.warn({ topic, partition, reason }, 'partition cannot be claimed yet');
  }

  /** A frame that somebody else decides, or that is read again here. */
  frameRelinquished(events: number): void {
    this.metrics.eventsInFlight.dec(events);
    this.metrics.eventsRelinquished.inc(events);
  }

  frameReceived(events: number): void {
    this.metrics.framesReceived.inc();
    this.metrics.eventsReceived.inc(events);
    this.metrics.eventsInFlight.inc(events);
  }

  frameFault(reason: string, detail: string, position: SourcePosition): void {
    this.metrics.framesReceived.inc();
    this.metrics.frameFaults.inc({ reason });
    if (this.#worthLogging(`frame ${reason}`))
      this.log.warn({ reason, detail, ...loggable(position) }, 'frame cannot be decoded; dead-lettered');
  }

  eventFault(reason: string, detail: string, position: SourcePosition): void {
    this.metrics.eventFaults.inc({ reason });
    if (this.#worthLogging(`event ${reason}`))
      this.log.warn({ reason, detail, ...loggable(position) }, 'event cannot be decided; dead-lettered');
  }

  /** A broken producer sends the same fault by the thousand: the first five are logged, then every tenfold. */
  #worthLogging(kind: string): boolean {
    const count = (this.#seen.get(kind) ?? 0) + 1;
    this.#seen.set(kind, count);
    return count <= 5 || Number.isInteger(Math.log10(count));
  }

  batchSent(cause: string, events: number): void {
    this.metrics.batches.inc({ cause });
    this.metrics.batchSize.observe(events);
  }

  batchScored(queueMs: number, result: { unpackMs: number; inferMs: number; decideMs: number }): void {
    const { stageSeconds } = this.metrics;
    stageSeconds.observe({ stage: 'queue' }, queueMs / 1000);
    stageSeconds.observe({ stage: 'unpack' }, result.unpackMs / 1000);
    stageSeconds.observe({ stage: 'infer' }, result.inferMs / 1000);
    stageSeconds.observe({ stage: 'decide' }, result.decideMs / 1000);
  }

  frameDecided(latencyMs: number): void {
    this.metrics.decisionLatency.observe(latencyMs / 1000);
  }

  frameFinished(events: number, accepted: number, faults: number): void {
    this.metrics.eventsInFlight.dec(events);
    this.metrics.eventsAccepted.inc(accepted);
    this.metrics.eventsRejected.inc(events - accepted - faults);
  }

  pathAccepted(path: string): void {
    this.metrics.pathAccepted.inc({ path });
  }

  studentRejected(path: string, events: number): void {
    this.metrics.studentRejected.inc({ path }, events);
  }

  /** @param pauseMs - until a replacement starts; undefined where there is none any more */
  workerFailed(kind: 'threw' | 'died' | 'load', reason: string, pauseMs: number | undefined): void {
    this.metrics.workerFailures.inc({ reason: kind });
    if (pauseMs === undefined) this.log.error({ kind, reason }, 'scoring worker failed; too many, giving up');
    else this.log.warn({ kind, reason, pauseMs }, 'scoring worker failed; its batches go to others, a new one starts');
  }

  workerReplaced(): void {
    this.metrics.workersReplaced.inc();
    this.log.info('scoring worker replaced');
  }

  batchRetried(attempts: number): void {
    this.metrics.batchesRetried.inc();
    this.log.warn({ attempts }, 'batch is scored again by another worker');
  }

  menuStarted(menu: LoggedMenu): void {
    this.#showMenu(menu, undefined);
  }

  menuShadowing(menu: LoggedMenu, events: number): void {
    this.log.info(
      { generation: menu.generation, events, paths: loggablePaths(menu) },
      'menu scores beside the running one',
    );
  }

  menuShadowed(events: number): void {
    this.metrics.menuShadowEvents.inc(events);
  }

  menuAwaiting({ generation }: LoggedMenu, swapAt: string): void {
    this.log.info({ generation, swapAt }, 'menu waits for its place');
  }

  menuTaken(from: LoggedMenu, to: LoggedMenu): void {
    this.#showMenu(to, from);
    this.metrics.menuChanges.inc({ outcome: 'taken' });
    this.log.info({ generation: to.generation, from: loggablePaths(from), to: loggablePaths(to) }, 'menu taken');
  }

  #showMenu(menu: LoggedMenu, former: LoggedMenu | undefined): void {
    this.metrics.menuGeneration.set(menu.generation);
    for (const labels of former === undefined ? [] : menuLabels(former)) this.metrics.menuInfo.remove(labels);
    for (const labels of menuLabels(menu)) this.metrics.menuInfo.set(labels, 1);
  }

  menuBegins(generation: number, position: SourcePosition): void {
    this.log.info({ generation, ...loggable(position) }, 'first frame of the menu in this partition');
  }

  menuRefused(reason: string): void {
    this.metrics.menuChanges.inc({ outcome: 'refused' });
    this.log.error({ reason }, 'menu refused; the running one goes on');
  }

  menuCancelled({ generation }: LoggedMenu): void {
    this.metrics.menuChanges.inc({ outcome: 'cancelled' });
    this.log.info({ generation }, 'menu cancelled; the running one goes on');
  }

  delivered(writeMs: number): void {
    this.metrics.stageSeconds.observe({ stage: 'write' }, writeMs / 1000);
  }
}

function loggablePaths({ paths }: LoggedMenu): { path: string; sha256: string; threshold: number }[] {
  return paths.map(({ name, bundle, threshold }) => ({ path: name, sha256: bundle.manifest.sha256, threshold }));
}

function menuLabels({ paths }: LoggedMenu): { path: string; model_sha256: string; threshold: string }[] {
  return paths.map(({ name, bundle, threshold }) => ({
    path: name,
    model_sha256: bundle.manifest.sha256,
    threshold: String(threshold),
  }));
}

function loggable(position: SourcePosition): { source: string; partition: number; offset: string } {
  return { source: position.source, partition: position.partition, offset: String(position.offset) };
}
