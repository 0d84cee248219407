import { readFileSync } from 'node:fs';

import protobuf from 'protobufjs/minimal.js';
import { describe, expect, it } from 'vitest';

import { graphProblem } from '#nae/model/graph-check.js';

import { BUNDLES } from '../pipeline/memory-stream.js';

const shipped = readFileSync(`${BUNDLES}ae-events-s/model.onnx`);

/** The shipped model with another graph merged into its own, as protobuf merges repeated occurrences. */
const withGraph = (write: (graph: protobuf.Writer) => void): Uint8Array => {
  const more = protobuf.Writer.create();
  write(more.uint32((7 << 3) | 2).fork());
  return Buffer.concat([shipped, more.ldelim().finish()]);
};
const initializer = (graph: protobuf.Writer): protobuf.Writer => graph.uint32((5 << 3) | 2).fork();

describe('a model is looked through before the runtime gets it', () => {
  it.each(['ae-events-s', 'ae-events-m', 'nae-events-s', 'nae-events-m'])('%s is sound', (name) => {
    expect(graphProblem(readFileSync(`${BUNDLES}${name}/model.onnx`))).toBeUndefined();
  });

  it.each<[string, Uint8Array, RegExp]>([
    [
      'data at a location',
      withGraph((graph) =>
        initializer(graph)
          .uint32((14 << 3) | 0)
          .int32(1)
          .ldelim(),
      ),
      /another file/,
    ],
    [
      'the path of data',
      withGraph((graph) =>
        initializer(graph)
          .uint32((13 << 3) | 2)
          .fork()
          .ldelim()
          .ldelim(),
      ),
      /another file/,
    ],
    [
      'a huge tensor',
      withGraph((graph) => initializer(graph).uint32(8).int64(1e9).uint32(8).int64(57).ldelim()),
      /at most 67108864 elements, received/,
    ],
    [
      'a negative dimension',
      withGraph((graph) => initializer(graph).uint32(8).int64(-1).ldelim()),
      /received dimensions -1/,
    ],
    [
      'an operator of another domain',
      withGraph((graph) =>
        graph
          .uint32((1 << 3) | 2)
          .fork()
          .uint32((7 << 3) | 2)
          .string('evil.ops')
          .ldelim(),
      ),
      /domain "evil\.ops"/,
    ],
    ['a file that is cut off', shipped.subarray(0, 5000), /expected/],
    ['no model', new TextEncoder().encode('{"a": 1}'), /expected/],
  ])('%s is refused', (_what, model, message) => {
    expect(graphProblem(model)).toMatch(message);
  });

  it('no change of a byte makes it throw', () => {
    for (let at = 0; at < 2000; at++) {
      const changed = Buffer.from(shipped);
      changed[(at * 977) % changed.length] = (at * 31) & 0xff;
      expect(['string', 'undefined']).toContain(typeof graphProblem(changed));
    }
  });
});
