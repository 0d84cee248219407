/**
 * What came of a stream as lines of JSON, in the files beside a recording: accepted events and dead letters with the
 * fields of AcceptedEvent in proto/l1_event.proto under their names there, `encoding` by name, bytes in base64, and
 * `source.offset` as a string where it is beyond 2^53.
 */
import { z } from 'zod';

import { studentOf, type AcceptedEvent, type DeadLetter, type SourcePosition } from '../event/accepted-event.js';
import { Encoding, encodingName } from '../event/layout.js';

export function acceptedLine(event: AcceptedEvent): string {
  return jsonLine({
    run: event.run,
    luminosity_section: event.luminositySection,
    orbit: event.orbit,
    bunch_crossing: event.bunchCrossing,
    encoding: encodingName(event.encoding),
    objects: base64(event.objects),
    paths: event.paths.map(({ path, model, modelSha256, score, threshold, student }) => ({
      path,
      model,
      model_sha256: modelSha256,
      score,
      threshold,
      student_sha256: student?.sha256,
      student_cut: student?.cut,
    })),
    source: sourceOf(event.position, event.index),
    label: event.label,
  });
}

export function deadLetterLine({ kind, reason, detail, position, index, bytes }: DeadLetter): string {
  return jsonLine({ kind, reason, detail, source: sourceOf(position, index), bytes: base64(bytes) });
}

function sourceOf({ source, partition, offset }: SourcePosition, index: number | undefined): object {
  const exact = offset <= BigInt(Number.MAX_SAFE_INTEGER) && offset >= BigInt(Number.MIN_SAFE_INTEGER);
  return { source, partition, offset: exact ? Number(offset) : offset.toString(), index };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

function jsonLine(value: object): string {
  return `${JSON.stringify(value)}\n`;
}

const count = z.number().int();

const ACCEPTED = z.object({
  run: count,
  luminosity_section: count,
  orbit: count,
  bunch_crossing: count,
  encoding: z.enum(['HW32', 'PHYS32']),
  objects: z.string(),
  paths: z.array(
    z.object({
      path: z.string(),
      model: z.string(),
      model_sha256: z.string(),
      score: z.number(),
      threshold: z.number(),
      student_sha256: z.string().optional(),
      student_cut: z.number().optional(),
    }),
  ),
  source: z.object({
    source: z.string(),
    partition: count,
    offset: z.union([count, z.string().regex(/^-?\d+$/)]),
    index: count,
  }),
  label: count.optional(),
});

/** An accepted event of its line; throws for anything else. */
export function acceptedOfLine(line: string): AcceptedEvent {
  const { source, paths, encoding, objects, ...event } = ACCEPTED.parse(JSON.parse(line));
  return {
    run: event.run,
    luminositySection: event.luminosity_section,
    orbit: event.orbit,
    bunchCrossing: event.bunch_crossing,
    encoding: Encoding[encoding],
    objects: Buffer.from(objects, 'base64'),
    paths: paths.map(({ path, model, model_sha256: modelSha256, score, threshold, student_sha256, student_cut }) => ({
      path,
      model,
      modelSha256,
      score,
      threshold,
      ...studentOf(student_sha256, student_cut),
    })),
    position: { source: source.source, partition: source.partition, offset: BigInt(source.offset) },
    index: source.index,
    label: event.label,
  };
}
