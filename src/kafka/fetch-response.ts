/**
 * Decodes what a broker answers to a fetch, in place of kafkajs (2.2.4): records are views of the response, and those
 * of aborted transactions are left out as Kafka's own consumer does it (CompletedFetch.nextFetchedRecord). kafkajs
 * takes the list of aborted transactions for one ordered by where they began and takes up one more of it per record,
 * and so shows records of some where several were aborted close to one another.
 *
 * Of a record batch that shows nothing, or less than it spans, a control record keeps the place: kafkajs passes it by
 * and goes on behind it. Checksums of batches are not compared, as in kafkajs and, by default, librdkafka.
 */
import type { IHeaders, RecordBatchEntry } from 'kafkajs';
import Broker from 'kafkajs/src/broker/index.js';
import { lookupCodecByAttributes } from 'kafkajs/src/protocol/message/compression/index.js';

import { TriggerError } from '../errors.js';
import type { Block } from '../memory/block-pool.js';
import {
  COMPRESSION,
  CONTROL,
  LOG_APPEND_TIME,
  RECORD_BATCH,
  RECORD_BATCH_MAGIC,
  TRANSACTIONAL,
} from './record-batch.js';
import { blockOf } from './response-memory.js';
import { withProtocol } from './with-protocol.js';

/** A record as a fetch shows it. */
export interface FetchedRecord extends RecordBatchEntry {
  readonly isControlRecord: boolean;
  /** What `value` and `key` lie in, where it is used again. */
  readonly block: Block | undefined;
}

interface FetchedPartition {
  readonly partition: number;
  readonly errorCode: number;
  readonly highWatermark: string;
  readonly messages: readonly FetchedRecord[];
  /** Always empty: none of their records is shown. */
  readonly abortedTransactions: readonly [];
  readonly preferredReadReplica: number;
}

export interface FetchResponse {
  readonly throttleTime: number;
  readonly clientSideThrottleTime: number;
  readonly errorCode: number;
  readonly sessionId: number;
  readonly responses: readonly { readonly topicName: string; readonly partitions: readonly FetchedPartition[] }[];
}

/** Of Fetch: the first version that has aborted transactions, and those that added a field that matters here. */
const VERSION = { first: 4, logStart: 5, session: 7, clientThrottles: 8, preferredReplica: 11 } as const;

/** Type of the control record that ends an aborted transaction. */
const ABORT = 0;

let isDecoding = false;

/** Let all kafkajs clients of this process decode fetches here. */
export function decodeFetches(): void {
  if (isDecoding) return;
  isDecoding = true;

  /** What the last fetch from a broker lies in. */
  const lent = new WeakMap<object, Block>();
  const original = Broker.prototype.fetch;
  Broker.prototype.fetch = async function (request) {
    // The next fetch is asked for when everything of the last one has been handled: whoever still looks at it holds it.
    lent.get(this)?.release();
    lent.delete(this);
    const decode = async (payload: Buffer, version: number): Promise<FetchResponse> => {
      const block = blockOf(payload);
      if (block !== undefined) lent.set(this, block);
      return decodeFetchResponse(payload, version);
    };
    const decoding = withProtocol(this, (protocol) => {
      const { apiVersion } = protocol.request;
      if (apiVersion < VERSION.first) return protocol;
      return { ...protocol, response: { ...protocol.response, decode: (payload) => decode(payload, apiVersion) } };
    });
    return original.call(decoding, request);
  };
}

/**
 * Decode a response to a fetch without its header.
 *
 * @throws TriggerError BROKER_FAILED where a record batch does not hold together, and what kafkajs throws for a
 * compression that it does not know.
 */
export async function decodeFetchResponse(payload: Buffer, version: number): Promise<FetchResponse> {
  const reader = new Fields(payload);
  const throttleTime = reader.int32();
  const errorCode = version >= VERSION.session ? reader.int16() : 0;
  const sessionId = version >= VERSION.session ? reader.int32() : 0;
  const responses: { topicName: string; partitions: FetchedPartition[] }[] = [];
  for (let topics = reader.int32(); topics > 0; topics--) {
    const topicName = reader.string();
    const partitions: FetchedPartition[] = [];
    for (let count = reader.int32(); count > 0; count--) partitions.push(await decodePartition(reader, version));
    responses.push({ topicName, partitions });
  }
  // From version 8 on the broker answers at once and leaves it to the client to wait.
  const clientThrottles = version >= VERSION.clientThrottles;
  return {
    throttleTime: clientThrottles ? 0 : throttleTime,
    clientSideThrottleTime: clientThrottles ? throttleTime : 0,
    errorCode,
    sessionId,
    responses,
  };
}

async function decodePartition(reader: Fields, version: number): Promise<FetchedPartition> {
  const partition = reader.int32();
  const errorCode = reader.int16();
  const highWatermark = String(reader.int64());
  reader.int64(); // last stable offset
  if (version >= VERSION.logStart) reader.int64();
  const aborted: AbortedTransaction[] = [];
  for (let count = reader.int32(); count > 0; count--) {
    aborted.push({ producerId: reader.int64(), firstOffset: reader.int64() });
  }
  const preferredReadReplica = version >= VERSION.preferredReplica ? reader.int32() : -1;
  const messages = await decodeBatches(reader.bytes(), aborted);
  return { partition, errorCode, highWatermark, messages, abortedTransactions: [], preferredReadReplica };
}

interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: bigint;
}

/** The records of a partition; the last batch may be cut, and is then left to the next fetch. */
async function decodeBatches(set: Buffer, aborted: AbortedTransaction[]): Promise<FetchedRecord[]> {
  const block = blockOf(set);
  // A broker lists them by where they ended.
  const ahead = aborted.sort((a, b) => (a.firstOffset < b.firstOffset ? -1 : 1));
  const open = new Set<bigint>();
  const records: FetchedRecord[] = [];
  let at = 0;
  while (at + RECORD_BATCH.records <= set.length) {
    const end = at + RECORD_BATCH.prefix + set.readInt32BE(at + RECORD_BATCH.length);
    if (end > set.length) break;
    const batch = set.subarray(at, end);
    const base = batch.readBigInt64BE();
    const magic = batch[RECORD_BATCH.magic]!;
    if (magic !== RECORD_BATCH_MAGIC || end - at < RECORD_BATCH.records) {
      throw new TriggerError(
        'BROKER_FAILED',
        `record batch at offset ${base}: expected format ${RECORD_BATCH_MAGIC} and at least ${RECORD_BATCH.records} bytes, ` +
          `received format ${magic} and ${end - at} bytes`,
      );
    }
    at = end;
    const last = base + BigInt(batch.readInt32BE(RECORD_BATCH.lastOffsetDelta));
    const attributes = batch.readInt16BE(RECORD_BATCH.attributes);
    const producerId = batch.readBigInt64BE(RECORD_BATCH.producerId);
    while (ahead.length > 0 && ahead[0]!.firstOffset <= last) open.add(ahead.shift()!.producerId);
    if ((attributes & CONTROL) !== 0) {
      if (isAbortMarker(batch)) open.delete(producerId);
    } else if ((attributes & TRANSACTIONAL) === 0 || !open.has(producerId)) {
      await decodeRecords(batch, base, attributes, block, records);
    }
    const place = String(last);
    if (records.at(-1)?.offset !== place) records.push(placeKeeper(place));
  }
  return records;
}

/** The key of the one record of a control batch is a version and a type. */
function isAbortMarker(batch: Buffer): boolean {
  const reader = new Fields(batch, RECORD_BATCH.records);
  reader.varint(); // length of the record
  reader.int8();
  reader.varint();
  reader.varint();
  const key = reader.varintBytes();
  return key !== null && key.length >= 4 && key.readInt16BE(2) === ABORT;
}

async function decodeRecords(
  batch: Buffer,
  base: bigint,
  attributes: number,
  block: Block | undefined,
  records: FetchedRecord[],
): Promise<void> {
  const compressed = (attributes & COMPRESSION) !== 0;
  const bytes = compressed
    ? await lookupCodecByAttributes(attributes)!.decompress(batch.subarray(RECORD_BATCH.records))
    : batch.subarray(RECORD_BATCH.records);
  const memory = compressed ? undefined : block;
  const baseTimestamp = batch.readBigInt64BE(RECORD_BATCH.baseTimestamp);
  const appendTime =
    (attributes & LOG_APPEND_TIME) === 0 ? undefined : String(batch.readBigInt64BE(RECORD_BATCH.maxTimestamp));
  const reader = new Fields(bytes);
  try {
    for (let count = batch.readInt32BE(RECORD_BATCH.count); count > 0; count--) {
      const length = reader.varint();
      const end = reader.at + length;
      const recordAttributes = reader.int8();
      const timestampDelta = reader.varlong();
      const offset = String(base + BigInt(reader.varint()));
      records.push({
        offset,
        attributes: recordAttributes,
        timestamp: appendTime ?? String(baseTimestamp + timestampDelta),
        key: reader.varintBytes(),
        value: reader.varintBytes(),
        headers: headersOf(reader),
        isControlRecord: false,
        block: memory,
      });
      if (reader.at !== end) throw new RangeError(`expected a record of ${length} bytes`);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new TriggerError('BROKER_FAILED', `record batch at offset ${base} does not hold together`, { cause: error });
  }
}

function headersOf(reader: Fields): IHeaders {
  const headers: IHeaders = {};
  for (let count = reader.varint(); count > 0; count--) {
    const name = reader.varintBytes()?.toString();
    if (name === undefined) throw new RangeError(`expected the name of a header at byte ${reader.at}`);
    const value = reader.varintBytes() ?? undefined;
    const former = headers[name];
    if (former === undefined || value === undefined) headers[name] = value;
    else headers[name] = Array.isArray(former) ? [...former, value] : [former, value];
  }
  return headers;
}

/** Shown to kafkajs alone. */
function placeKeeper(offset: string): FetchedRecord {
  return {
    offset,
    attributes: 0,
    timestamp: '0',
    key: null,
    value: null,
    headers: {},
    isControlRecord: true,
    block: undefined,
  };
}

/** Reads fields of the protocol one after the other. Throws RangeError at the end of the bytes. */
class Fields {
  at: number;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.at = at;
  }

  int8(): number {
    return this.#bytes.readInt8(this.#pass(1));
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#pass(2));
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#pass(4));
  }

  int64(): bigint {
    return this.#bytes.readBigInt64BE(this.#pass(8));
  }

  string(): string {
    const length = this.int16();
    return this.#view(length).toString();
  }

  /** Bytes behind their int32 length; null counts as none. */
  bytes(): Buffer {
    return this.#view(Math.max(0, this.int32()));
  }

  /** A zigzag-encoded 32-bit number. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes.readUInt8(this.at++);
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return (value >>> 1) ^ -(value & 1);
    }
    throw new RangeError(`expected a number of at most 5 bytes, at byte ${this.at}`);
  }

  /** A zigzag-encoded 64-bit number. */
  varlong(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes.readUInt8(this.at++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return (value >> 1n) ^ -(value & 1n);
    }
    throw new RangeError(`expected a number of at most 10 bytes, at byte ${this.at}`);
  }

  /** Bytes behind their length as a varint; -1 is null. */
  varintBytes(): Buffer | null {
    const length = this.varint();
    return length < 0 ? null : this.#view(length);
  }

  #pass(bytes: number): number {
    const at = this.at;
    this.at += bytes;
    return at;
  }

  #view(length: number): Buffer {
    const start = this.#pass(length);
    if (length < 0 || this.at > this.#bytes.length) {
      throw new RangeError(`expected ${length} bytes at byte ${start} of ${this.#bytes.length}`);
    }
    return this.#bytes.subarray(start, this.at);
  }
}
