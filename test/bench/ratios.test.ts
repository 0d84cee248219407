import { describe, expect, it } from 'vitest';

import { fallen, ratiosOf, type BenchResult } from '../../bench/ratios.js';

const result = (benchmark: string, ...results: BenchResult['results']): BenchResult => {
  return { benchmark, date: '', machine: {}, versions: {}, results };
};

const results = [
  result('recording-to-decision', { size: 's', ratio: 0.84, ratio_cpu: 0.65, events_per_second: 2e6 }),
  result('kafka-to-kafka', { size: 's', cpu_ratio: 1.2 }),
  result('exactly-once', { size: 's', ratio: 0.9 }),
  result(
    'latency',
    { source: 'recording', stage: 'infer', p50_ms: 0.25 },
    { source: 'recording', stage: 'decision', p50_ms: 0.5 },
    { source: 'Kafka to Kafka', stage: 'decision', p50_ms: 6 },
    { source: 'kafkajs alone', stage: 'arrival', p50_ms: 4 },
  ),
  result(
    'micro',
    { step: 'unpack', ns_per_event: 12 },
    { step: 'unpack, plain definition', ns_per_event: 100 },
    { step: 'score nae-s, batches of 512', ns_per_event: 300 },
    { step: 'score nae-s, batches of 1024', ns_per_event: 240 },
    { step: 'score nae-m, batches of 1024', ns_per_event: 700 },
  ),
];

describe('ratios of the benches', () => {
  it('are those within one run, each with the direction that is better', () => {
    expect(ratiosOf(results)).toEqual({
      'recording to decision, s: rate over bare onnxruntime': { value: 0.84, better: 'higher' },
      'recording to decision, s: the same per CPU-second': { value: 0.65, better: 'higher' },
      'Kafka to Kafka, s: CPU per event over bare kafkajs and onnxruntime': { value: 1.2, better: 'lower' },
      'exactly once, s: rate over at least once': { value: 0.9, better: 'higher' },
      'latency from a recording, s: median decision over inference': { value: 2, better: 'lower' },
      'latency from Kafka, s: median decision over arrival at bare kafkajs': { value: 1.5, better: 'lower' },
      'unpack: time per event over inference, s': { value: 0.05, better: 'lower' },
    });
  });

  it('fall where they are worse by more than the tolerance, or missing', () => {
    const baseline = ratiosOf(results);
    expect(fallen(baseline, baseline, 0)).toEqual([]);
    const now = ratiosOf([
      result('recording-to-decision', { size: 's', ratio: 0.7, ratio_cpu: 0.5 }),
      result('kafka-to-kafka', { size: 's', cpu_ratio: 1.5 }),
      result('exactly-once', { size: 's', ratio: 2 }),
    ]);
    expect(fallen(now, baseline, 0.2)).toEqual([
      'recording to decision, s: the same per CPU-second: 0.500, in the baseline 0.650',
      'Kafka to Kafka, s: CPU per event over bare kafkajs and onnxruntime: 1.50, in the baseline 1.20',
      'latency from a recording, s: median decision over inference: 2.00 in the baseline, not measured',
      'latency from Kafka, s: median decision over arrival at bare kafkajs: 1.50 in the baseline, not measured',
      'unpack: time per event over inference, s: 0.0500 in the baseline, not measured',
    ]);
  });
});
