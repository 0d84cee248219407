/**
 * What a run adds up to: the numbers of its summary.
 */
import { HISTOGRAM_BINS } from '../score/messages.js';
import type { DecidingStudent } from '../event/accepted-event.js';
import { decidingStudent, type Menu } from '../score/menu.js';
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
  readonly paths: readonly (PathIdentity & {
    readonly accepted: number;
    /** Events that the path's student rejected, where it has one; those scored twice count twice. */
    readonly rejected_by_student?: number;
  })[];
}

/** How a path is named in summaries and reports. */
export interface PathIdentity {
  readonly path: string;
  readonly model: string;
  readonly sha256: string;
  readonly threshold: number;
  readonly student?: DecidingStudent;
}

/** The paths of a menu without their models, which end with the menu. */
export function pathIdentities({ paths }: Menu): PathIdentity[] {
  return paths.map((path) => ({
    path: path.name,
    model: path.bundle.manifest.name,
    sha256: path.bundle.manifest.sha256,
    threshold: path.threshold,
    ...decidingStudent(path),
  }));
}

/** What one path, with one model and one threshold, adds up to. */
export class PathTotals {
  readonly path: PathIdentity;
  accepted = 0;
  rejectedByStudent = 0;
  /** Scores under the name of the path, in the bins of score/messages. */
  readonly #histogram: Float64Array;

  constructor(path: PathIdentity, histogram: Float64Array) {
    this.path = path;
    this.#histogram = histogram;
  }

  accept(): void {
    this.accepted++;
  }

  /** @param counts - uint32 [paths, bins] of a batch, of which row `at` is that of the path */
  addHistogram(counts: Uint32Array, at: number): void {
    const first = at * HISTOGRAM_BINS;
    for (let bin = 0; bin < HISTOGRAM_BINS; bin++) this.#histogram[bin] = this.#histogram[bin]! + counts[first + bin]!;
  }
}

export class StreamTotals {
  readonly events = { received: 0, accepted: 0, rejected: 0, faults: 0 };
  readonly frames = { received: 0, faults: 0 };
  /** By name, model and threshold: a menu that keeps a path goes on with its numbers. */
  readonly #paths = new Map<string, PathTotals>();
  readonly #histograms = new Map<string, Float64Array>();
  readonly #latencies = new QuantileHistogram();
  #startedMs = 0;
  #startedCpu = process.cpuUsage();
  #elapsedSeconds: number | undefined;
  #cpuSeconds = 0;

  /** Take a menu in: the totals of its paths, in their order. */
  open(menu: Menu): PathTotals[] {
    return pathIdentities(menu).map((path) => {
      const key = totalsKey(path.path, path.sha256, path.threshold, path.student);
      const totals = this.#paths.get(key) ?? new PathTotals(path, this.#histogramOf(path.path));
      this.#paths.set(key, totals);
      return totals;
    });
  }

  #histogramOf(name: string): Float64Array {
    const histogram = this.#histograms.get(name) ?? new Float64Array(HISTOGRAM_BINS);
    this.#histograms.set(name, histogram);
    return histogram;
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

  /** Score histogram of each name of a path, over all menus that had it, in the bins of score/messages. */
  get histograms(): ReadonlyMap<string, Float64Array> {
    return this.#histograms;
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
      for (const { path, modelSha256, threshold, student } of paths) {
        const totals = this.#paths.get(totalsKey(path, modelSha256, threshold, student));
        if (totals !== undefined) totals.accepted--;
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
      paths: Array.from(this.#paths.values(), ({ path, accepted: passed, rejectedByStudent }) => ({
        ...path,
        accepted: passed,
        ...(path.student === undefined ? {} : { rejected_by_student: rejectedByStudent }),
      })),
    };
  }

  /** Latency of the events below which a fraction `q` of them lies [s]. JSON has no NaN: 0 without events. */
  latencySeconds(q: number): number {
    return this.#latencies.total === 0 ? 0 : this.#latencies.quantile(q);
  }
}

function totalsKey(path: string, sha256: string, threshold: number, student: DecidingStudent | undefined): string {
  return JSON.stringify([path, sha256, String(threshold), student?.sha256]);
}
