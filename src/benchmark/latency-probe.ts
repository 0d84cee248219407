/** Where the time of a frame goes, as quantiles: what the stream says of itself, without its warming up. */
import { Happenings } from '../telemetry/happenings.js';
import { silentLogger } from '../telemetry/logger.js';
import { Metrics } from '../telemetry/metrics.js';
import { QuantileHistogram } from '../telemetry/quantiles.js';

/** [s] */
export interface Quantiles {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly p9999: number;
  /** Records that they are of. */
  readonly count: number;
}

/**
 * `arrival`: from a frame being due to its being offered to the stream; `queue`: what a batch spends between main
 * thread and worker, there and back; `unpack`, `infer`, `decide`: its time in the worker; `decision`: from a frame
 * being due to all of its events being decided; `write`: a request to the sink; `written`: from a frame being due to
 * one of its accepted events being durable.
 */
export type LatencyStage = 'arrival' | 'queue' | 'unpack' | 'infer' | 'decide' | 'decision' | 'write' | 'written';

export type StageQuantiles = Readonly<Partial<Record<LatencyStage, Quantiles>>>;

export class LatencyProbe extends Happenings {
  /** Nothing is recorded before it is set. */
  counting: boolean;
  readonly #onAssigned: () => void;
  readonly #stages = new Map<LatencyStage, QuantileHistogram>();

  /** @param onAssigned - called when a Kafka source has been given its partitions */
  constructor(counting: boolean, onAssigned: () => void = () => undefined) {
    super(silentLogger(), new Metrics());
    this.counting = counting;
    this.#onAssigned = onAssigned;
  }

  record(stage: LatencyStage, milliseconds: number): void {
    if (!this.counting) return;
    let histogram = this.#stages.get(stage);
    if (histogram === undefined) this.#stages.set(stage, (histogram = new QuantileHistogram()));
    histogram.record(Math.max(0, milliseconds) / 1000);
  }

  get quantiles(): StageQuantiles {
    const stages = Array.from(this.#stages, ([stage, histogram]): [LatencyStage, Quantiles] => [
      stage,
      {
        p50: histogram.quantile(0.5),
        p99: histogram.quantile(0.99),
        p999: histogram.quantile(0.999),
        p9999: histogram.quantile(0.9999),
        count: histogram.total,
      },
    ]);
    return Object.fromEntries(stages);
  }

  override consumerAssigned(topic: string, partitions: readonly number[]): void {
    super.consumerAssigned(topic, partitions);
    if (partitions.length > 0) this.#onAssigned();
  }

  override batchScored(queueMs: number, result: Parameters<Happenings['batchScored']>[1]): void {
    super.batchScored(queueMs, result);
    this.record('queue', queueMs);
    this.record('unpack', result.unpackMs);
    this.record('infer', result.inferMs);
    this.record('decide', result.decideMs);
  }

  override frameDecided(latencyMs: number): void {
    super.frameDecided(latencyMs);
    this.record('decision', latencyMs);
  }

  override delivered(writeMs: number): void {
    super.delivered(writeMs);
    this.record('write', writeMs);
  }
}
