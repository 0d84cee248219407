/** What one core of this machine can do at most: multiply-adds in float32, and bytes copied. */
import { InferenceSession, Tensor } from 'onnxruntime-node';

const SIDE = 512;

export interface Roofline {
  /** float32 operations per second of one thread, from the runtime's own matrix product of 512 x 512. */
  readonly flopPerSecond: number;
  /** Bytes copied per second by one thread, from 64 MiB to 64 MiB. */
  readonly bytesPerSecond: number;
}

export async function measureRoofline(): Promise<Roofline> {
  const session = await InferenceSession.create(matrixProduct(), { intraOpNumThreads: 1, interOpNumThreads: 1 });
  const matrix = (): Tensor => new Tensor('float32', new Float32Array(SIDE * SIDE).fill(0.5), [SIDE, SIDE]);
  const feeds = { a: matrix(), b: matrix() };
  const fetches = { c: matrix() };
  const product = await fastest(30, async () => {
    await session.run(feeds, fetches);
  });
  await session.release();
  const from = new Uint8Array(64 * 1024 * 1024).fill(1);
  const to = new Uint8Array(from.length).fill(2);
  const copy = await fastest(10, () => {
    to.set(from);
    return Promise.resolve();
  });
  return { flopPerSecond: (2 * SIDE ** 3) / product, bytesPerSecond: from.length / copy };
}

async function fastest(times: number, work: () => Promise<void>): Promise<number> {
  let best = Infinity;
  for (let time = 0; time < times; time++) {
    const start = performance.now();
    await work();
    best = Math.min(best, performance.now() - start);
  }
  return best / 1000;
}

/** An ONNX model of one MatMul, c = a b, written by hand in protobuf (onnx.proto3: field numbers in brackets). */
function matrixProduct(): Uint8Array {
  const name = (value: string): number[] => [...Buffer.from(value)];
  const field = (number: number, value: readonly number[]): number[] => [
    (number << 3) | 2,
    ...varint(value.length),
    ...value,
  ];
  const integer = (number: number, value: number): number[] => [number << 3, ...varint(value)];
  const dimension = field(1, integer(1, SIDE));
  const type = field(1, [...integer(1, 1), ...field(2, [...dimension, ...dimension])]);
  const value = (of: string): number[] => [...field(1, name(of)), ...field(2, type)];
  const node = [...field(1, name('a')), ...field(1, name('b')), ...field(2, name('c')), ...field(4, name('MatMul'))];
  const graph = [
    ...[...field(1, node), ...field(2, name('product'))],
    ...[...field(11, value('a')), ...field(11, value('b')), ...field(12, value('c'))],
  ];
  return Uint8Array.from([...integer(1, 8), ...field(7, graph), ...field(8, integer(2, 13))]);
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)];
}
