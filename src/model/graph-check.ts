/**
 * Looks through an ONNX file before the runtime gets it (field numbers: onnx/onnx.proto): data kept in other files,
 * operators of other domains, tensors that declare more, or other, than the file holds.
 */
import { Reader } from 'protobufjs/minimal.js';

import { int64ToBigint } from '../event/frame.js';

/** Deepest nesting of messages followed: a subgraph in an attribute takes three. */
const MAX_DEPTH = 24;
/** What one tensor of a trigger model may hold. */
const MAX_TENSOR_ELEMENTS = 64 * 1024 * 1024;
const DOMAINS: ReadonlySet<string> = new Set(['', 'ai.onnx', 'ai.onnx.ml']);

const LENGTH_DELIMITED = 2;
type Kind = 'model' | 'graph' | 'node' | 'attribute' | 'tensor' | 'sparse' | 'opset' | 'function';

/** Messages within a message: field number to kind. */
const CHILDREN: Readonly<Record<Kind, Readonly<Record<number, Kind>>>> = {
  model: { 7: 'graph', 8: 'opset', 25: 'function' },
  graph: { 1: 'node', 5: 'tensor', 15: 'sparse' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse' },
  sparse: { 1: 'tensor', 2: 'tensor' },
  function: { 7: 'node', 9: 'opset', 11: 'attribute' },
  tensor: {},
  opset: {},
};
/** Field of the operator domain. */
const DOMAIN_FIELD: Partial<Record<Kind, number>> = { node: 7, opset: 1, function: 10 };
const TENSOR = { dims: 1, dataType: 2, rawData: 9, externalData: 13, dataLocation: 14 } as const;
/** Fields that hold a tensor's values as numbers: bytes per value, or 0 for varints. */
const NUMBER_FIELDS: Readonly<Record<number, 0 | 4 | 8>> = { 4: 4, 5: 0, 7: 0, 10: 8, 11: 0 };
const STRINGS_FIELD = 6;
/** Bytes of an element in raw data, by TensorProto.DataType. */
const ELEMENT_BYTES = new Map([
  ...[2, 3, 9].map((type): [number, number] => [type, 1]),
  ...[4, 5, 10, 16].map((type): [number, number] => [type, 2]),
  ...[1, 6, 12].map((type): [number, number] => [type, 4]),
  ...[7, 11, 13].map((type): [number, number] => [type, 8]),
]);
const INT64 = 7;
const STRING = 8;
const ELSEWHERE = 'expected all data in model.onnx, received a tensor in another file';
/** A vector of so few int64 may be the shape of something that is made at run time. */
const MAX_SHAPE_RANK = 8;

/** Why a model is refused, or undefined where nothing is in its way. Never throws for any content. */
export function graphProblem(model: Uint8Array): string | undefined {
  try {
    return problemIn(Reader.create(model), model.length, 'model', 0);
  } catch (error) {
    return `expected an ONNX model: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function problemIn(reader: Reader, end: number, kind: Kind, depth: number): string | undefined {
  if (depth > MAX_DEPTH) return `expected messages nested at most ${MAX_DEPTH} deep, received more`;
  if (kind === 'tensor') return problemInTensor(reader, end);
  while (reader.pos < end) {
    const tag = reader.uint32();
    const field = tag >>> 3;
    const wire = tag & 7;
    const child = CHILDREN[kind][field];
    if (wire === LENGTH_DELIMITED && field === DOMAIN_FIELD[kind]) {
      const domain = reader.string();
      if (!DOMAINS.has(domain))
        return `expected operators of ONNX alone, received the domain ${JSON.stringify(domain)}`;
    } else if (wire === LENGTH_DELIMITED && child !== undefined) {
      const length = reader.uint32();
      if (reader.pos + length > end) return `expected ${length} bytes of a ${child}, received ${end - reader.pos}`;
      const problem = problemIn(reader, reader.pos + length, child, depth + 1);
      if (problem !== undefined) return problem;
    } else {
      reader.skipType(wire);
    }
  }
  return reader.pos === end ? undefined : `expected a ${kind} to end at byte ${end}, received one to ${reader.pos}`;
}

/** A tensor holds as many values as its dimensions say, in the file itself. */
function problemInTensor(reader: Reader, end: number): string | undefined {
  const dims: number[] = [];
  const integers: number[] = [];
  let dataType = 0;
  let raw: Uint8Array | undefined;
  let values = 0;
  while (reader.pos < end) {
    const tag = reader.uint32();
    const [field, wire] = [tag >>> 3, tag & 7];
    const width = NUMBER_FIELDS[field];
    if (field === TENSOR.externalData) return ELSEWHERE;
    if (field === TENSOR.dataLocation && wire === 0) {
      if (reader.uint32() !== 0) return ELSEWHERE;
    } else if (field === TENSOR.dataType && wire === 0) {
      dataType = reader.uint32();
    } else if (field === TENSOR.rawData && wire === LENGTH_DELIMITED) {
      raw = reader.bytes();
    } else if (field === TENSOR.dims || width === 0) {
      const stop = wire === LENGTH_DELIMITED ? reader.uint32() + reader.pos : reader.pos + 1;
      while (reader.pos < stop) {
        const value = Number(int64ToBigint(reader.int64()));
        if (field === TENSOR.dims) dims.push(value);
        else if (++values <= MAX_SHAPE_RANK) integers.push(value);
      }
    } else if (width !== undefined && wire === LENGTH_DELIMITED) {
      values += reader.bytes().length / width;
    } else {
      if (width !== undefined || field === STRINGS_FIELD) values++;
      reader.skipType(wire);
    }
  }
  if (reader.pos !== end) return `expected a tensor to end at byte ${end}, received one to ${reader.pos}`;
  const elements = dims.reduce((product, size) => (size < 0 ? NaN : product * size), 1);
  if (!(elements <= MAX_TENSOR_ELEMENTS)) {
    return `expected tensors of at most ${MAX_TENSOR_ELEMENTS} elements, received dimensions ${dims.slice(0, 16).join(' x ')}`;
  }
  if (dataType === 0 && dims.length === 0 && raw === undefined) return undefined;
  const elementBytes = ELEMENT_BYTES.get(dataType);
  if (elementBytes === undefined && dataType !== STRING)
    return `expected numbers, received elements of type ${dataType}`;
  const held = raw === undefined ? values : raw.length / (elementBytes ?? NaN);
  if (held !== elements) return `expected ${elements} elements of a tensor, as its dimensions say, received ${held}`;
  if (dataType !== INT64 || dims.length !== 1 || elements > MAX_SHAPE_RANK) return undefined;
  return shapeProblem(raw === undefined ? integers : integersOf(raw));
}

function integersOf(raw: Uint8Array): number[] {
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  return Array.from({ length: raw.length / 8 }, (_, at) => Number(view.getBigInt64(at * 8, true)));
}

/** Of few integers that may be a shape; the ends of slices are as large as they can be and mean nothing of the kind. */
function shapeProblem(sizes: readonly number[]): string | undefined {
  const elements = sizes.filter((size) => size > 0 && size < 2 ** 31 - 1).reduce((product, size) => product * size, 1);
  if (elements <= MAX_TENSOR_ELEMENTS) return undefined;
  return `expected shapes of at most ${MAX_TENSOR_ELEMENTS} elements, received ${sizes.join(' x ')}`;
}
