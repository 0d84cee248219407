/**
 * What a run adds up to: the numbers of its summary.
 */
import { HISTOGRAM_BINS } from '../score/messages.js';
import type { Path } from '../score/menu.js';
import { QuantileHistogram } from '../telemetry/quantiles.js';
import type { FrameInFlight } from './frame-in-flight.js';

/** The machine-readable summary of `run` and `demo`. */
export interface StreamSummary {
  readonly events: {
    readonly received: number;
    readonly accepted: number;
    readonly rejected: number;
    readonly faults: number;
  };
  readonly frames: { readonly received: number; readonly faults: number };
  readonly accepted_fraction: number;
  readonly events_per_second: number;
  readonly cpu_seconds: number;
  readonly latency_seconds: { readonly p50: number; readonly p99: number; readonly p999: number };
  readonly paths: readonly {
    readonly path: string;
    readonly model: string;
    readonly sha256: string;
    readonly threshold: number;
    readonly accepted: number;
  }[];
}

export class StreamTotals {
  readonly events = { received: 0, accepted: 0, rejected: 0, faults: 0 };
  readonly frames = { received: 0, faults: 0 };
  readonly #paths: readonly { readonly path: Path; accepted: number; readonly histogram: Float64Array }[];
  readonly #latencies = new QuantileHistogram();
  #startedMs = 0;
  #startedCpu = process.cpuUsage();
  #elapsedSeconds: number | undefined;
  #cpuSeconds = 0;

  constructor(paths: readonly Path[]) {
    this.#paths = paths.map((path) => ({ path, accepted: 0, histogram: new Float64Array(HISTOGRAM_BINS) }));
  }

  start(): void {
    this.#startedMs = performance.now();
    this.#startedCpu = process.cpuUsage();
  }

  end(): void {
    this.#elapsedSeconds = this.elapsedSeconds;
    this.#cpuSeconds = this.cpuSeconds;
  }

  get elapsedSeconds(): number {
    return this.#elapsedSeconds ?? (performance.now() - this.#startedMs) / 1000;
  }

  /** User and system time of the whole process, workers included, since the start. */
  get cpuSeconds(): number {
    if (this.#elapsedSeconds !== undefined && this.#cpuSeconds > 0) return this.#cpuSeconds;
    const used = process.cpuUsage(this.#startedCpu);
    return (used.user + used.system) / 1e6;
  }

  receive(frame: FrameInFlight): void {
    this.frames.received++;
    if (frame.wire === undefined) this.frames.faults++;
    else this.events.received += frame.wire.eventCount;
  }

  decide(latencyMs: number, events: number): void {
    this.#latencies.record(latencyMs / 1000, events);
  }

  acceptBy(path: number): void {
    this.#paths[path]!.accepted++;
  }

  addHistogram(path: number, counts: Uint32Array): void {
    const { histogram } = this.#paths[path]!;
    for (let bin = 0; bin < HISTOGRAM_BINS; bin++) histogram[bin] = histogram[bin]! + counts[bin]!;
  }

  /** Score histogram of a path, in the bins of score/messages. */
  histogram(path: number): Float64Array {
    return this.#paths[path]!.histogram;
  }

  finish(frame: FrameInFlight): void {
    if (frame.eventCount === undefined) return;
    const accepted = frame.accepted.length;
    const faults = frame.deadLetters.length;
    this.events.accepted += accepted;
    this.events.faults += faults;
    this.events.rejected += frame.eventCount - accepted - faults;
  }

  /** Somebody else decides the frame: it does not count here. */
  relinquish(frame: FrameInFlight): void {
    this.frames.received--;
    if (frame.eventCount === undefined) this.frames.faults--;
    else this.events.received -= frame.eventCount;
    for (const { paths } of frame.accepted) {
      for (const { path: name } of paths) {
        const path = this.#paths.find((one) => one.path.name === name);
        if (path !== undefined) path.accepted--;
      }
    }
  }

  summary(): StreamSummary {
    const { received, accepted } = this.events;
    const seconds = this.elapsedSeconds;
    return {
      events: { ...this.events },
      frames: { ...this.frames },
      accepted_fraction: received === 0 ? 0 : accepted / received,
      events_per_second: seconds > 0 ? received / seconds : 0,
      cpu_seconds: this.cpuSeconds,
      latency_seconds: {
        p50: this.latencySeconds(0.5),
        p99: this.latencySeconds(0.99),
        p999: this.latencySeconds(0.999),
      },
      paths: this.#paths.map(({ path, accepted: passed }) => ({
        path: path.name,
        model: path.bundle.manifest.name,
        sha256: path.bundle.manifest.sha256,
        threshold: path.threshold,
        accepted: passed,
      })),
    };
  }

  /** Latency of the events below which a fraction `q` of them lies [s]. JSON has no NaN: 0 without events. */
  latencySeconds(q: number): number {
    return this.#latencies.total === 0 ? 0 : this.#latencies.quantile(q);
  }
}
