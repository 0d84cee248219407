/**
 * Encodes what a producer asks of a broker, in place of kafkajs (2.2.4), which copies every record nine times into
 * buffers that it fills with zeros first, and takes the CRC-32C of a batch byte by byte in JavaScript.
 */
import { crc32c } from '@node-rs/crc32';
import type { IHeaders } from 'kafkajs';
import Broker from 'kafkajs/src/broker/index.js';
import Encoder from 'kafkajs/src/protocol/encoder.js';

import { RECORD_BATCH, RECORD_BATCH_MAGIC, TRANSACTIONAL } from './record-batch.js';
import { withProtocol } from './with-protocol.js';

/** As kafkajs hands them to its encoder. */
interface ProducedMessage {
  readonly key?: Buffer | string | null;
  readonly value: Buffer | string | null;
  readonly headers?: IHeaders;
  /** Milliseconds since the epoch. Default: now. */
  readonly timestamp?: string;
}

export interface ProduceRequest {
  readonly transactionalId?: string | null | undefined;
  readonly acks: number;
  readonly timeout: number;
  readonly compression?: number;
  readonly producerId?: { toString(): string } | undefined;
  readonly producerEpoch?: number | undefined;
  readonly topicData: readonly {
    readonly topic: string;
    readonly partitions: readonly {
      readonly partition: number;
      readonly firstSequence?: number;
      readonly messages: readonly ProducedMessage[];
    }[];
  }[];
}

/** Versions of Produce with record batches, all of which are written the same way. */
const VERSIONS = { first: 3, last: 7 } as const;

let isEncoding = false;

/** Let all kafkajs clients of this process encode uncompressed records here. */
export function encodeProduces(): void {
  if (isEncoding) return;
  isEncoding = true;

  const original = Broker.prototype.produce;
  Broker.prototype.produce = function (request) {
    const encoding = withProtocol(this, (protocol, options) => {
      const { compression = 0, ...asked } = options as ProduceRequest;
      const { apiVersion } = protocol.request;
      if (compression !== 0 || apiVersion < VERSIONS.first || apiVersion > VERSIONS.last) return protocol;
      const encode = (): Promise<Encoder> => Promise.resolve(encoderOf(encodeProduceRequest(asked)));
      return { ...protocol, request: { ...protocol.request, encode } };
    });
    return original.call(encoding, request);
  };
}

/** Bytes as kafkajs takes them from an encoder. */
function encoderOf(bytes: Buffer): Encoder {
  const encoder = new Encoder(0);
  encoder.buf = bytes;
  encoder.offset = bytes.length;
  return encoder;
}

/** The body of a produce request, of any of {@link VERSIONS}, without compression. */
export function encodeProduceRequest(request: ProduceRequest): Buffer {
  const { transactionalId = null, acks, timeout, topicData } = request;
  const nowMs = Date.now();
  const topics = topicData.map(({ topic, partitions }) => ({
    topic,
    partitions: partitions.map(({ partition, firstSequence = 0, messages }) => {
      const times = messages.map(({ timestamp }) => (timestamp === undefined ? nowMs : Number(timestamp)));
      const firstMs = Math.min(...times);
      const records = messages.map((message, at) => sizedRecord(message, at, times[at]! - firstMs));
      const size = records.reduce<number>((sum, { bytes }) => sum + bytes, RECORD_BATCH.records);
      return { partition, firstSequence, records, size, firstMs, lastMs: Math.max(...times) };
    }),
  }));
  const bytes = topics.reduce(
    (sum, { topic, partitions }) =>
      partitions.reduce((all, { size }) => all + 8 + size, sum + 2 + Buffer.byteLength(topic) + 4),
    2 + Buffer.byteLength(transactionalId ?? '') + 2 + 4 + 4,
  );
  const writer = new FieldWriter(Buffer.allocUnsafe(bytes));
  writer.string(transactionalId);
  writer.int16(acks);
  writer.int32(timeout);
  writer.int32(topics.length);
  for (const { topic, partitions } of topics) {
    writer.string(topic);
    writer.int32(partitions.length);
    for (const batch of partitions) {
      writer.int32(batch.partition);
      writer.int32(batch.size);
      writeBatch(writer, batch, request);
    }
  }
  return writer.buffer;
}

interface SizedRecord {
  readonly message: ProducedMessage;
  readonly offsetDelta: number;
  readonly timestampDelta: number;
  readonly headers: readonly (readonly [name: string, value: Buffer | string | null])[];
  /** Of the record behind its length. */
  readonly bodyBytes: number;
  readonly bytes: number;
}

function sizedRecord(message: ProducedMessage, offsetDelta: number, timestampDelta: number): SizedRecord {
  const headers = Object.entries(message.headers ?? {}).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one) => [name, one ?? null] as const),
  );
  let bodyBytes = 1 + varintSize(timestampDelta) + varintSize(offsetDelta) + varintSize(headers.length);
  bodyBytes += sizedLength(message.key ?? null) + sizedLength(message.value);
  for (const [name, value] of headers) bodyBytes += sizedLength(name) + sizedLength(value);
  return { message, offsetDelta, timestampDelta, headers, bodyBytes, bytes: varintSize(bodyBytes) + bodyBytes };
}

interface SizedBatch {
  readonly firstSequence: number;
  readonly records: readonly SizedRecord[];
  readonly size: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

function writeBatch(writer: FieldWriter, batch: SizedBatch, request: ProduceRequest): void {
  const { records, size, firstMs, lastMs, firstSequence } = batch;
  const { transactionalId, producerId, producerEpoch = 0 } = request;
  const start = writer.at;
  writer.int64(0n); // the broker's to say
  writer.int32(size - RECORD_BATCH.prefix);
  writer.int32(0); // partition leader epoch
  writer.int8(RECORD_BATCH_MAGIC);
  writer.int32(0); // checksum, below
  // As kafkajs: an empty name is no transaction.
  writer.int16(transactionalId == null || transactionalId === '' ? 0 : TRANSACTIONAL);
  writer.int32(records.length - 1);
  writer.int64(BigInt(firstMs));
  writer.int64(BigInt(lastMs));
  writer.int64(BigInt(producerId?.toString() ?? -1));
  writer.int16(producerEpoch);
  writer.int32(firstSequence);
  writer.int32(records.length);
  for (const { message, offsetDelta, timestampDelta, headers, bodyBytes } of records) {
    writer.varint(bodyBytes);
    writer.int8(0);
    writer.varint(timestampDelta);
    writer.varint(offsetDelta);
    writer.sized(message.key ?? null);
    writer.sized(message.value);
    writer.varint(headers.length);
    for (const [name, value] of headers) {
      writer.sized(name);
      writer.sized(value);
    }
  }
  const checked = writer.buffer.subarray(start + RECORD_BATCH.attributes, writer.at);
  writer.buffer.writeUInt32BE(crc32c(checked), start + RECORD_BATCH.checksum);
}

/** Bytes that a number takes zigzag-encoded; up to 2^52 either way. */
function varintSize(value: number): number {
  let size = 1;
  for (let rest = zigzag(value); rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value;
}

/** Bytes of a value behind its length; null is the length -1. */
function sizedLength(value: Buffer | string | null): number {
  if (value === null) return 1;
  const length = Buffer.byteLength(value);
  return varintSize(length) + length;
}

/** Writes fields of the protocol one after the other. */
class FieldWriter {
  readonly buffer: Buffer;
  at = 0;

  constructor(buffer: Buffer) {
    this.buffer = buffer;
  }

  int8(value: number): void {
    this.at = this.buffer.writeInt8(value, this.at);
  }

  int16(value: number): void {
    this.at = this.buffer.writeInt16BE(value, this.at);
  }

  int32(value: number): void {
    this.at = this.buffer.writeInt32BE(value, this.at);
  }

  int64(value: bigint): void {
    this.at = this.buffer.writeBigInt64BE(value, this.at);
  }

  /** Behind its length as int16; null is the length -1. */
  string(value: string | null): void {
    this.int16(value === null ? -1 : Buffer.byteLength(value));
    if (value !== null) this.at += this.buffer.write(value, this.at);
  }

  varint(value: number): void {
    let rest = zigzag(value);
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.buffer[this.at++] = (rest % 0x80) | 0x80;
    this.buffer[this.at++] = rest;
  }

  sized(value: Buffer | string | null): void {
    this.varint(value === null ? -1 : Buffer.byteLength(value));
    if (value === null) return;
    if (typeof value === 'string') this.at += this.buffer.write(value, this.at);
    else this.at += value.copy(this.buffer, this.at);
  }
}
