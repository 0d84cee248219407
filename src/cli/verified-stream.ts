/**
 * What a stream left behind, read back to be verified: its input, its ledger and the accepted events it published.
 */
import { randomUUID } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';

import type { Kafka } from 'kafkajs';

import { messageOf, TriggerError } from '../errors.js';
import { decodeAcceptedEvent, type AcceptedEvent } from '../event/accepted-event.js';
import { bunchCrossingOf, decodeFrame, isFrameFault, labelOf, objectsOf, orbitOf } from '../event/frame.js';
import { createKafka } from '../kafka/client.js';
import { readTopicRange, topicBounds } from '../kafka/topic-range.js';
import { requireTopics } from '../kafka/topics.js';
import type { Difference } from '../ledger/difference.js';
import { decodeLedgerEntry, type LedgerEntry } from '../ledger/entry.js';
import { entryOfLine, ledgerPath } from '../ledger/ledger-file.js';
import { identity } from '../ledger/verification.js';
import { openRecording } from '../recording/open.js';
import { partialPath } from '../recording/recording.js';
import { acceptedOfLine } from '../sink/result-lines.js';
import { acceptedPath } from '../sink/recording-sink.js';
import { KafkaSource } from '../source/kafka-source.js';
import { RecordingSource } from '../source/recording-source.js';
import type { Source } from '../source/source.js';
import type { Settings } from '../config/options.js';
import type { Logger } from '../telemetry/logger.js';
import type { Happenings } from '../telemetry/happenings.js';
import { withAdmin } from './accepted-reader.js';
import { connectionOf, topicOf } from './kafka.js';

export type VerifiedSettings = Settings<
  'source' | 'sink' | 'ledger' | 'brokers' | 'tls' | 'tlsCa' | 'saslMechanism' | 'frameEvents' | 'run'
>;

export interface VerifiedStream {
  /** As positions name it. */
  readonly source: string;
  readonly sink: string;
  /** Where the ledger is, for messages. */
  readonly ledger: string;
  /** Of the source, whichever sink they are of. */
  readonly entries: readonly LedgerEntry[];
  readonly published: readonly AcceptedEvent[];
  /** The ledger is there from its beginning. */
  readonly fromBeginning: boolean;
  readonly inputFrom: ReadonlyMap<number, bigint>;
  /** Where a recording as sink does not hold what is written beside it. */
  readonly recordingDifference: Difference | undefined;
  /** The input from its beginning; it can be read several times. */
  open(happenings: Happenings): Promise<Source>;
}

/** @throws TriggerError INPUT_REFUSED or BROKER_FAILED where something is not there */
export async function readVerifiedStream(settings: VerifiedSettings, log: Logger): Promise<VerifiedStream> {
  const source = topicOf(settings.source) ?? basename(settings.source);
  const input = topicOf(settings.source) === undefined ? recordingInput(settings) : await topicInput(settings, log);
  const output =
    topicOf(settings.sink) === undefined
      ? await recordingOutput(settings.sink, source)
      : await topicOutput(settings, source, log);
  return { source, ...input, ...output };
}

function recordingInput(settings: VerifiedSettings): Pick<VerifiedStream, 'inputFrom' | 'open'> {
  return {
    inputFrom: new Map(),
    open: async () => {
      const { frameEvents: eventsPerFrame, run } = settings;
      return new RecordingSource(await openRecording(settings.source, { eventsPerFrame, run }));
    },
  };
}

async function topicInput(
  settings: VerifiedSettings,
  log: Logger,
): Promise<Pick<VerifiedStream, 'inputFrom' | 'open'>> {
  const topic = topicOf(settings.source)!;
  const connection = connectionOf(settings);
  const inputFrom = await withAdmin(createKafka(connection, log), connection, async (admin) => {
    await requireTopics(admin, [topic], 'verify reads it');
    return (await topicBounds(admin, topic)).from;
  });
  return {
    inputFrom,
    open: (happenings) => {
      const groupId = `nae-trigger-verify-${randomUUID()}`;
      return Promise.resolve(new KafkaSource({ connection, topic, groupId, happenings, stopAtEnd: true }));
    },
  };
}

type Output = Omit<VerifiedStream, 'source' | 'inputFrom' | 'open'>;

async function topicOutput(settings: VerifiedSettings, source: string, log: Logger): Promise<Output> {
  const sink = topicOf(settings.sink)!;
  const { ledger } = settings;
  const connection = connectionOf(settings);
  const kafka = createKafka(connection, log);
  const bounds = await withAdmin(kafka, connection, async (admin) => {
    await requireTopics(admin, [sink, ledger], 'verify reads both');
    return { ledger: await topicBounds(admin, ledger), sink: await topicBounds(admin, sink) };
  });
  const entries = (await valuesOf(kafka, ledger, bounds.ledger, decodeLedgerEntry)).filter(
    (entry) => entry.source === source,
  );
  const published = (await valuesOf(kafka, sink, bounds.sink, decodeAcceptedEvent)).filter(
    ({ position }) => position.source === source,
  );
  const fromBeginning = [...bounds.ledger.from.values()].every((offset) => offset === 0n);
  return { sink, ledger, entries, published, fromBeginning, recordingDifference: undefined };
}

async function valuesOf<T>(
  kafka: Kafka,
  topic: string,
  bounds: Awaited<ReturnType<typeof topicBounds>>,
  decode: (bytes: Uint8Array) => T,
): Promise<T[]> {
  const values: T[] = [];
  await readTopicRange({
    kafka,
    topic,
    ...bounds,
    visit: (partition, { value, offset }) => {
      if (value === null) return;
      try {
        values.push(decode(value));
      } catch (error) {
        const message = `${topic}: partition ${partition}, offset ${offset}: cannot be read: ${messageOf(error)}`;
        throw new TriggerError('INPUT_REFUSED', message, { cause: error });
      }
    },
  });
  return values;
}

async function recordingOutput(path: string, source: string): Promise<Output> {
  const ledger = ledgerPath(path);
  if (!existsSync(path) && existsSync(partialPath(path))) {
    throw new TriggerError(
      'INPUT_REFUSED',
      `${path}: unfinished: expected a whole output, which run --resume makes of it`,
    );
  }
  const entries = (await linesOf(ledger, entryOfLine)).filter((entry) => entry.source === source);
  const all = await linesOf(acceptedPath(path), acceptedOfLine);
  const recordingDifference = await compareRecording(path, all);
  const published = all.filter(({ position }) => position.source === source);
  return { sink: basename(path), ledger, entries, published, fromBeginning: true, recordingDifference };
}

async function linesOf<T>(path: string, parse: (line: string) => T): Promise<T[]> {
  const values: T[] = [];
  try {
    for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
      values.push(parse(line));
    }
  } catch (error) {
    const message = `${path}: line ${values.length + 1}: cannot be read: ${messageOf(error)}`;
    throw new TriggerError('INPUT_REFUSED', message, { cause: error });
  }
  return values;
}

/** The first event of a recording that is not the one written beside it. */
async function compareRecording(path: string, accepted: readonly AcceptedEvent[]): Promise<Difference | undefined> {
  const differs = (number: number, received: string): Difference | undefined => {
    const event = accepted[number];
    const expected = event === undefined ? 'the end of the recording' : identity(event);
    if (received === expected) return undefined;
    const origin = event && `${event.position.partition}/${event.position.offset}/${event.index}: `;
    const where = `event ${number} of ${path}`;
    return { where, what: 'recording', expected: `${origin ?? ''}${expected}`, received };
  };
  const reader = await openRecording(path);
  try {
    let number = 0;
    for await (const { bytes, release } of reader.frames()) {
      const frame = decodeFrame(bytes);
      if (isFrameFault(frame)) return differs(number, `a frame that cannot be decoded: ${frame.detail}`);
      for (let index = 0; index < frame.eventCount; index++, number++) {
        const { run, luminositySection, encoding } = frame;
        const difference = differs(
          number,
          identity({
            run,
            luminositySection,
            encoding,
            orbit: orbitOf(frame, index),
            bunchCrossing: bunchCrossingOf(frame, index),
            objects: objectsOf(frame, index),
            label: labelOf(frame, index),
          }),
        );
        if (difference !== undefined) return difference;
      }
      release?.();
    }
    return differs(number, 'the end of the recording');
  } finally {
    await reader.close();
  }
}
