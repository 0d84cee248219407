/** What of the benches' results is worth comparing with another day's: ratios within one run. */

/** A result file of a bench, see report.ts. */
export interface BenchResult {
  readonly benchmark: string;
  readonly date: string;
  readonly machine: object;
  readonly versions: object;
  readonly results: readonly Readonly<Record<string, string | number>>[];
}

export type Ratios = Readonly<Record<string, { readonly value: number; readonly better: 'higher' | 'lower' }>>;

/** Steps of micro.bench.ts that are given as parts of what the small model's inference takes. */
const STEPS = ['decode frame', 'unpack', 'decide', 'hand over a task', 'send frames', 'send accepted events'];

/** The ratios of the results of the benches that all.bench.ts runs; of those that are there. */
export function ratiosOf(results: readonly BenchResult[]): Ratios {
  const rows = (bench: string): BenchResult['results'] =>
    results.find(({ benchmark }) => benchmark === bench)?.results ?? [];
  const ratios: Record<string, Ratios[string]> = {};
  for (const { size, ratio, ratio_cpu: cpu } of rows('recording-to-decision')) {
    ratios[`recording to decision, ${String(size)}: rate over bare onnxruntime`] = higher(ratio);
    ratios[`recording to decision, ${String(size)}: the same per CPU-second`] = higher(cpu);
  }
  for (const { size, cpu_ratio: cpu } of rows('kafka-to-kafka')) {
    ratios[`Kafka to Kafka, ${String(size)}: CPU per event over bare kafkajs and onnxruntime`] = lower(cpu);
  }
  for (const { size, ratio } of rows('exactly-once')) {
    ratios[`exactly once, ${String(size)}: rate over at least once`] = higher(ratio);
  }
  const latency = (source: string, stage: string): number =>
    Number(rows('latency').find((row) => row.source === source && row.stage === stage)?.p50_ms);
  if (rows('latency').length > 0) {
    ratios['latency from a recording, s: median decision over inference'] = lower(
      latency('recording', 'decision') / latency('recording', 'infer'),
    );
    ratios['latency from Kafka, s: median decision over arrival at bare kafkajs'] = lower(
      latency('Kafka to Kafka', 'decision') / latency('kafkajs alone', 'arrival'),
    );
  }
  const micro = rows('micro').map(({ step, ns_per_event: ns }) => ({ step: String(step), ns: Number(ns) }));
  const inference = Math.min(...micro.filter(({ step }) => /^score .*-s,/.test(step)).map(({ ns }) => ns));
  for (const step of STEPS) {
    const measured = micro.find((one) => one.step === step || one.step.startsWith(`${step} `));
    if (measured !== undefined) ratios[`${step}: time per event over inference, s`] = lower(measured.ns / inference);
  }
  return ratios;
}

/** A line for every ratio that is worse than the baseline's by more than the tolerance (0.2: 20 %). */
export function fallen(now: Ratios, baseline: Ratios, tolerance: number): string[] {
  return Object.entries(baseline).flatMap(([name, { value: before, better }]) => {
    const value = now[name]?.value;
    if (value === undefined) return [`${name}: ${before.toPrecision(3)} in the baseline, not measured`];
    const isWorse = better === 'higher' ? value < before * (1 - tolerance) : value > before * (1 + tolerance);
    return isWorse ? [`${name}: ${value.toPrecision(3)}, in the baseline ${before.toPrecision(3)}`] : [];
  });
}

function higher(value: string | number | undefined): Ratios[string] {
  return { value: Number(value), better: 'higher' };
}

function lower(value: string | number | undefined): Ratios[string] {
  return { value: Number(value), better: 'lower' };
}
