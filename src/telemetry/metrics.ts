/**
 * The metrics of one process, in prom-client. Names follow `trigger_<noun>_<unit>_total`; everything is updated
 * per batch or per frame, never per event.
 */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

const LATENCY_BUCKETS_SECONDS = [
  1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5, 10,
];
const BATCH_BUCKETS_EVENTS = [1, 16, 64, 256, 512, 1024, 2048, 4096, 8192, 16384];

export class Metrics {
  readonly registry = new Registry();

  readonly eventsReceived = this.#counter('trigger_events_received_total', 'Events of decodable frames');
  readonly eventsAccepted = this.#counter('trigger_events_accepted_total', 'Events that at least one path accepted');
  readonly eventsRejected = this.#counter('trigger_events_rejected_total', 'Events that no path accepted');
  readonly eventFaults = new Counter({
    name: 'trigger_events_dead_lettered_total',
    help: 'Single events that could not be decided',
    labelNames: ['reason'] as const,
    registers: [this.registry],
  });
  readonly framesReceived = this.#counter('trigger_frames_received_total', 'Frames taken from the source');
  readonly frameFaults = new Counter({
    name: 'trigger_frames_dead_lettered_total',
    help: 'Frames that could not be decoded',
    labelNames: ['reason'] as const,
    registers: [this.registry],
  });
  readonly pathAccepted = new Counter({
    name: 'trigger_path_events_accepted_total',
    help: 'Events accepted by a path',
    labelNames: ['path'] as const,
    registers: [this.registry],
  });
  readonly studentRejected = new Counter({
    name: 'trigger_student_events_rejected_total',
    help: "Events that a path's student rejected, so that its model did not score them",
    labelNames: ['path'] as const,
    registers: [this.registry],
  });
  readonly eventsInFlight = this.#gauge('trigger_events_in_flight', 'Events received and not yet decided and written');
  readonly batches = new Counter({
    name: 'trigger_batches_total',
    help: 'Batches handed to the scoring workers, by what made them leave',
    labelNames: ['cause'] as const,
    registers: [this.registry],
  });
  readonly batchSize = this.#histogram('trigger_batch_size_events', 'Events per batch', BATCH_BUCKETS_EVENTS);
  readonly stageSeconds = new Histogram({
    name: 'trigger_stage_seconds',
    help: 'Time a batch spends in a stage: queue, unpack, infer, decide; write is per delivery',
    labelNames: ['stage'] as const,
    buckets: LATENCY_BUCKETS_SECONDS,
    registers: [this.registry],
  });
  readonly decisionLatency = this.#histogram(
    'trigger_decision_latency_seconds',
    'From a frame becoming available to its decision, once per frame',
    LATENCY_BUCKETS_SECONDS,
  );
  readonly consumerLag = new Gauge({
    name: 'trigger_consumer_lag_frames',
    help: 'Frames between the last one offered and the end of the partition',
    labelNames: ['topic', 'partition'] as const,
    registers: [this.registry],
  });
  readonly eventsRelinquished = this.#counter(
    'trigger_events_relinquished_total',
    'Events received whose partition was lost before they were published',
  );
  readonly claimsLost = new Counter({
    name: 'trigger_claims_lost_total',
    help: 'Claims on partitions that ended with a failed transaction',
    labelNames: ['cause'] as const,
    registers: [this.registry],
  });
  readonly rebalances = this.#counter('trigger_consumer_rebalances_total', 'Partition assignments received');

  readonly workerFailures = new Counter({
    name: 'trigger_worker_failures_total',
    help: 'Scoring workers taken out of use: threw on a batch, died, or could not load the models',
    labelNames: ['reason'] as const,
    registers: [this.registry],
  });
  readonly workersReplaced = this.#counter('trigger_workers_replaced_total', 'Scoring workers started for failed ones');
  readonly batchesRetried = this.#counter(
    'trigger_batches_retried_total',
    'Batches scored again after a worker failed',
  );

  readonly menuGeneration = this.#gauge(
    'trigger_menu_generation',
    'Menu that decides new frames: 1 at the start, one more with every change',
  );
  readonly menuChanges = new Counter({
    name: 'trigger_menu_changes_total',
    help: 'Menus asked for while running: taken, refused or cancelled',
    labelNames: ['outcome'] as const,
    registers: [this.registry],
  });
  readonly menuShadowEvents = this.#counter(
    'trigger_menu_shadow_events_total',
    'Events that a menu on its way scored beside the running one',
  );
  readonly menuInfo = new Gauge({
    name: 'trigger_menu_info',
    help: '1 for every path of the menu that decides new frames',
    labelNames: ['path', 'model_sha256', 'threshold'] as const,
    registers: [this.registry],
  });

  constructor(options: { processMetrics?: boolean } = {}) {
    if (options.processMetrics === true) collectDefaultMetrics({ register: this.registry });
  }

  #counter(name: string, help: string): Counter {
    return new Counter({ name, help, registers: [this.registry] });
  }

  #gauge(name: string, help: string): Gauge {
    return new Gauge({ name, help, registers: [this.registry] });
  }

  #histogram(name: string, help: string, buckets: number[]): Histogram {
    return new Histogram({ name, help, buckets, registers: [this.registry] });
  }
}
