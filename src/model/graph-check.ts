/**
 * Looks through an ONNX file before the runtime gets it (field numbers: onnx/onnx.proto): data kept in other files,
 * operators of other domains, tensors that declare more than the file can hold.
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
const TENSOR = { dims: 1, externalData: 13, dataLocation: 14 } as const;

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
  let elements = 1;
  while (reader.pos < end) {
    const tag = reader.uint32();
    const field = tag >>> 3;
    const wire = tag & 7;
    const child = CHILDREN[kind][field];
    if (kind === 'tensor') {
      if (field === TENSOR.externalData) return 'expected all data in model.onnx, received a tensor in another file';
      if (field === TENSOR.dataLocation && wire === 0) {
        if (reader.uint32() !== 0) return 'expected all data in model.onnx, received a tensor in another file';
        continue;
      }
      if (field === TENSOR.dims) {
        const stop = wire === LENGTH_DELIMITED ? reader.uint32() + reader.pos : reader.pos + 1;
        while (reader.pos < stop) elements *= Number(int64ToBigint(reader.int64()));
        if (!(elements >= 0 && elements <= MAX_TENSOR_ELEMENTS)) {
          return `expected tensors of at most ${MAX_TENSOR_ELEMENTS} elements, received ${elements}`;
        }
        continue;
      }
    }
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
