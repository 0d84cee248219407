/**
 * Where dead letters lie: a topic, or the file beside a recording of accepted events (sink/kafka-sink.ts and
 * sink/recording-sink.ts write them and document their form).
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

import type { IHeaders, Kafka, KafkaMessage } from 'kafkajs';

import { messageOf, TriggerError } from '../errors.js';
import type { DeadLetter } from '../event/accepted-event.js';
import { connectAdmin, createKafka, type KafkaConnection } from '../kafka/client.js';
import { readTopicRange, topicBounds, type Offsets } from '../kafka/topic-range.js';
import { requireTopics } from '../kafka/topics.js';
import type { Logger } from '../telemetry/logger.js';

export interface StoredLetter {
  readonly letter: DeadLetter;
  /** Partition of the dead-letter topic; 0 in files. */
  readonly partition: number;
  /** Offset in the dead-letter topic, or line of the file, counted from 0. */
  readonly number: bigint;
}

export interface LetterStore {
  readonly name: string;
  /** The topic that the letters lie in; undefined for a file. */
  readonly topic: string | undefined;
  /** Same for the same letters, however the file is called; undefined for a topic, which has a name of its own. */
  readonly contentSha256: string | undefined;

  /**
   * Visit the letters that are there now: one after the other, and by rising number within a partition.
   *
   * @returns how many messages of the topic are no dead letters; they are passed over
   * @throws what `visit` throws; BROKER_FAILED; INPUT_REFUSED naming the line of a file that is no dead letter
   */
  read(visit: (stored: StoredLetter) => Promise<void> | void, stop: AbortSignal): Promise<number>;
}

/** @throws TriggerError BROKER_FAILED where the cluster cannot be reached or has no such topic. */
export async function openLetterTopic(connection: KafkaConnection, topic: string, log: Logger): Promise<LetterStore> {
  const kafka = createKafka(connection, log);
  const admin = await connectAdmin(kafka, connection);
  try {
    await requireTopics(admin, [topic], 'expected a topic of dead letters');
    return new LetterTopic(kafka, topic, await topicBounds(admin, topic));
  } finally {
    await admin.disconnect();
  }
}

class LetterTopic implements LetterStore {
  readonly name: string;
  readonly topic: string;
  readonly contentSha256 = undefined;
  readonly #kafka: Kafka;
  readonly #bounds: { readonly from: Offsets; readonly to: Offsets };

  constructor(kafka: Kafka, topic: string, bounds: { readonly from: Offsets; readonly to: Offsets }) {
    this.name = `kafka:${topic}`;
    this.topic = topic;
    this.#kafka = kafka;
    this.#bounds = bounds;
  }

  async read(visit: (stored: StoredLetter) => Promise<void> | void, stop: AbortSignal): Promise<number> {
    let foreign = 0;
    await readTopicRange({
      kafka: this.#kafka,
      topic: this.topic,
      ...this.#bounds,
      stop,
      visit: async (partition, message) => {
        const letter = letterOf(message);
        if (letter === undefined) foreign++;
        else await visit({ letter, partition, number: BigInt(message.offset) });
      },
    });
    return foreign;
  }
}

function letterOf({ headers = {}, value }: KafkaMessage): DeadLetter | undefined {
  const [reason, source] = [textOf(headers, 'reason'), textOf(headers, 'source')];
  const [partition, offset, index] = ['partition', 'offset', 'index'].map((name) => textOf(headers, name));
  const kind = textOf(headers, 'kind');
  if (reason === undefined || source === undefined || (kind !== 'frame' && kind !== 'event')) return undefined;
  if (![partition, offset, index ?? '0'].every((word) => word !== undefined && /^\d+$/.test(word))) return undefined;
  return {
    kind,
    reason,
    detail: textOf(headers, 'detail') ?? '',
    position: { source, partition: Number(partition), offset: BigInt(offset!) },
    index: index === undefined ? undefined : Number(index),
    bytes: value ?? new Uint8Array(0),
  };
}

function textOf(headers: IHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? undefined : value?.toString();
}

/** @throws TriggerError INPUT_REFUSED where the file cannot be read. */
export async function openLetterFile(path: string): Promise<LetterStore> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  } catch (error) {
    throw new TriggerError('INPUT_REFUSED', `${path}: cannot be read: ${messageOf(error)}`, { cause: error });
  }
  return new LetterFile(path, hash.digest('hex'));
}

class LetterFile implements LetterStore {
  readonly name: string;
  readonly topic = undefined;
  readonly contentSha256: string;

  constructor(path: string, contentSha256: string) {
    this.name = path;
    this.contentSha256 = contentSha256;
  }

  async read(visit: (stored: StoredLetter) => Promise<void> | void, stop: AbortSignal): Promise<number> {
    const lines = createInterface({ input: createReadStream(this.name), crlfDelay: Infinity });
    let number = 0n;
    for await (const line of lines) {
      if (stop.aborted) break;
      await visit({ letter: letterOfLine(line, `${this.name}, line ${number + 1n}`), partition: 0, number });
      number++;
    }
    return 0;
  }
}

interface LetterLine {
  readonly kind: 'frame' | 'event';
  readonly reason: string;
  readonly detail: string;
  readonly source: { source: string; partition: number; offset: number | string; index?: number };
  readonly bytes: string;
}

function letterOfLine(line: string, place: string): DeadLetter {
  try {
    const { kind, reason, detail, source, bytes } = JSON.parse(line) as LetterLine;
    const position = { source: source.source, partition: source.partition, offset: BigInt(source.offset) };
    if (!['frame', 'event'].includes(kind) || typeof reason !== 'string') throw new Error('kind or reason is missing');
    return { kind, reason, detail, position, index: source.index, bytes: Buffer.from(bytes, 'base64') };
  } catch (error) {
    throw new TriggerError('INPUT_REFUSED', `${place}: expected a dead letter as JSON: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
