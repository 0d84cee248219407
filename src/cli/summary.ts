/**
 * The summary of a stream, for people.
 */
import { CROSSING_RATE_HZ } from '../event/layout.js';
import type { StreamSummary } from '../pipeline/stream-totals.js';
import { duration, grouped, table } from './result.js';

/** @param inputRateHz - declared rate of the input, to state accepted rates in Hz */
export function summaryText(summary: StreamSummary, inputRateHz: number | undefined): string {
  const { events, frames, latency_seconds: latency } = summary;
  const rate = inputRateHz === undefined ? '' : `, ${(summary.accepted_fraction * inputRateHz).toPrecision(3)} Hz`;
  const perCpu = summary.cpu_seconds > 0 ? events.received / summary.cpu_seconds : 0;
  const lines = [
    `events    received ${grouped(events.received)} = accepted ${grouped(events.accepted)} + rejected ` +
      `${grouped(events.rejected)} + faults ${grouped(events.faults)}`,
    `frames    received ${grouped(frames.received)}, faults ${grouped(frames.faults)}`,
    `accepted  ${summary.accepted_fraction.toExponential(2)} of all events${rate}`,
    `speed     ${grouped(Math.round(summary.events_per_second))} events/s ` +
      `(${((100 * summary.events_per_second) / CROSSING_RATE_HZ).toPrecision(2)} % of 40.08 MHz), ` +
      `${grouped(Math.round(perCpu))} events per CPU-second`,
    `latency   p50 ${duration(latency.p50)}, p99 ${duration(latency.p99)}, p99.9 ${duration(latency.p999)}`,
  ];
  const isCascade = summary.paths.some(({ student }) => student !== undefined);
  const paths = table([
    ['path', 'threshold', 'accepted', 'sha256', ...(isCascade ? ['rejected by its student'] : [])],
    ...summary.paths.map(({ path, threshold, accepted, sha256, rejected_by_student: rejected }) => [
      path,
      threshold.toPrecision(6),
      grouped(accepted),
      sha256.slice(0, 12),
      ...(isCascade ? [rejected === undefined ? '-' : grouped(rejected)] : []),
    ]),
  ]);
  return `${lines.join('\n')}\n\n${paths}\n`;
}
