/** Inference calls have as many rows as the events need, but only where that changes no bit. */
import { readFileSync } from 'node:fs';

import fc from 'fast-check';
import protobuf from 'protobufjs/minimal.js';
import { describe, expect, it } from 'vitest';

import { VALUES_PER_EVENT } from '#nae/event/layout.js';
import { ModelSession } from '#nae/model/session.js';

import { plausibleCodes } from '../pipeline/events.js';
import { BUNDLES } from '../pipeline/memory-stream.js';

const ROWS = 2048;

describe.each(['ae-events-s', 'ae-events-m', 'nae-events-s', 'nae-events-m'])('calls of %s', async (name) => {
  const model = readFileSync(`${BUNDLES}${name}/model.onnx`);
  const session = await ModelSession.create(model, 'hw-int16-planar', ROWS, { kind: 'cpu' });
  const codes = plausibleCodes(ROWS, 9);
  session.input.set(codes);
  await session.run();
  const expected = Buffer.from(session.scores.slice().buffer);

  it('come in halves down to 128 rows, which were compared by scores that are numbers', async () => {
    const fresh = await ModelSession.create(model, 'hw-int16-planar', ROWS, { kind: 'cpu' });
    expect(fresh.callRows).toEqual([2048, 1024, 512, 256, 128]);
    expect(fresh.scores.every((score) => Number.isFinite(score) && score !== 0)).toBe(true);
  });

  it('give an event the same bits however few come with it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: ROWS }), async (events) => {
        session.input.set(codes.subarray(0, events * VALUES_PER_EVENT));
        session.input.fill(0, events * VALUES_PER_EVENT);
        session.scores.fill(NaN);
        await session.run(events);
        expect(Buffer.from(session.scores.buffer, 0, 4 * events)).toEqual(expected.subarray(0, 4 * events));
      }),
      { numRuns: 40 },
    );
  });
});

describe('calls of a model whose scores depend on the events that come with it', () => {
  it('always have all rows', async () => {
    const session = await ModelSession.create(oddModel('crowd'), 'hw-int16-planar', ROWS, { kind: 'cpu' });
    expect(session.callRows).toEqual([ROWS]);
    session.input.fill(0);
    session.input[0] = 57;
    await session.run(1);
    expect(session.scores[0]).toBeCloseTo(1 + 1 / ROWS, 6);
  });
});

describe('a model that fails when it runs', () => {
  it('is said to when it is loaded', async () => {
    await expect(
      ModelSession.create(oddModel('elsewhere'), 'hw-int16-planar', ROWS, { kind: 'cpu' }),
    ).rejects.toMatchObject({
      code: 'SCORING_FAILED',
      message: expect.stringMatching(/^the model does not run on cpu: .*out of/s) as string,
    });
  });
});

describe('the input of a new session', () => {
  it('is zero', async () => {
    const model = readFileSync(`${BUNDLES}nae-events-s/model.onnx`);
    const session = await ModelSession.create(model, 'hw-int16-planar', 256, { kind: 'cpu' });
    expect(session.input.every((code) => code === 0)).toBe(true);
  });
});

/**
 * ONNX: the mean of an event's codes plus that of all codes; or the mean of the event whose number the sum of an event's
 * codes is, which fails where there is none.
 */
function oddModel(kind: 'crowd' | 'elsewhere'): Uint8Array {
  const bytes = (writer: protobuf.Writer, field: number): protobuf.Writer => writer.uint32((field << 3) | 2).fork();
  const text = (writer: protobuf.Writer, field: number, value: string): protobuf.Writer =>
    writer.uint32((field << 3) | 2).string(value);
  const number = (writer: protobuf.Writer, field: number, value: number): protobuf.Writer =>
    writer.uint32(field << 3).int64(value);
  const node = (
    graph: protobuf.Writer,
    type: string,
    inputs: readonly string[],
    output: string,
    attributes: Readonly<Record<string, { value: number; list: boolean }>> = {},
  ): void => {
    const writer = bytes(graph, 1);
    for (const input of inputs) text(writer, 1, input);
    text(text(writer, 2, output), 4, type);
    for (const [name, { value, list }] of Object.entries(attributes)) {
      const attribute = text(bytes(writer, 5), 1, name);
      number(number(attribute, list ? 8 : 3, value), 20, list ? 7 : 2).ldelim();
    }
    writer.ldelim();
  };
  const tensor = (
    graph: protobuf.Writer,
    field: number,
    name: string,
    type: number,
    dims: readonly (string | number)[],
  ) => {
    const value = text(bytes(graph, field), 1, name);
    const shape = bytes(number(bytes(bytes(value, 2), 1), 1, type), 2);
    for (const dim of dims) {
      const one = bytes(shape, 1);
      if (typeof dim === 'number') number(one, 1, dim);
      else text(one, 2, dim);
      one.ldelim();
    }
    shape.ldelim().ldelim().ldelim().ldelim();
  };
  const model = protobuf.Writer.create();
  number(model, 1, 7);
  const graph = text(bytes(model, 7), 2, 'crowd');
  node(graph, 'Cast', ['events'], 'codes', { to: { value: 1, list: false } });
  const keepdims = { value: 0, list: false };
  node(graph, 'ReduceMean', ['codes'], 'own', { axes: { value: 1, list: true }, keepdims });
  node(graph, 'ReduceMean', ['codes'], 'all', { keepdims });
  if (kind === 'crowd') node(graph, 'Add', ['own', 'all'], 'score');
  else {
    node(graph, 'Cast', ['events'], 'whole', { to: { value: 7, list: false } });
    node(graph, 'ReduceSum', ['whole'], 'place', { axes: { value: 1, list: true }, keepdims });
    node(graph, 'Gather', ['own', 'place'], 'score');
  }
  tensor(graph, 11, 'events', 5, ['N', VALUES_PER_EVENT]);
  tensor(graph, 12, 'score', 1, ['N']);
  graph.ldelim();
  number(text(bytes(model, 8), 1, ''), 2, 11).ldelim();
  return model.finish();
}
