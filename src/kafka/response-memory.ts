/**
 * Sockets that read large responses straight into memory that is used again. Node.js hands data over in chunks of 64
 * kilobytes, each of them new, which kafkajs puts together into one more: for fetches of megabytes V8 then collects
 * garbage without end, a quarter of the CPU time of the small model's stream from topic to topic.
 */
import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';

import type { ISocketFactory } from 'kafkajs';
import Connection from 'kafkajs/src/network/connection.js';

import { BlockPool, type Block } from '../memory/block-pool.js';

/** Responses up to this size are copied out of the memory that a connection reads into [bytes]. */
const SMALL_BYTES = 64 * 1024;
/** No broker answers with as much; what speaks another protocol may seem to [bytes]. */
const LARGEST_BYTES = 256 * 1024 * 1024;
const UNIT_BYTES = 1024 * 1024;
/** Of the length before a response, which does not count itself. */
const LENGTH_BYTES = 4;
const KEEP_ALIVE_MS = 60_000;

/** Blocks by the memory that they lend out. */
const blocks = new WeakMap<ArrayBufferLike, Block>();
/** Buffers that are one response each, with its length. */
const responses = new WeakSet<Uint8Array>();

/**
 * The block that a response lies in, where it is one: whoever has received the response has to let go of it, and
 * hold it for everybody else who looks at the bytes.
 */
export function blockOf(response: Uint8Array): Block | undefined {
  return blocks.get(response.buffer);
}

/** Makes the sockets of a kafkajs client; their large responses lie in blocks, see {@link blockOf}. */
export function pooledSockets(): ISocketFactory {
  takeWholeResponses();
  const pool = new BlockPool(UNIT_BYTES);
  return ({ host, port, ssl, onConnect }) => {
    const reader = new ResponseReader(pool, (data) => socket.emit('data', data));
    const onread: OnReadOpts = {
      buffer: () => reader.target,
      callback: (bytes) => {
        reader.received(bytes);
        return true;
      },
    };
    const address = { host, port, onread };
    const tls = ssl as ConnectionOptions | null | undefined;
    const socket: Socket =
      tls == null
        ? connectTcp(address, onConnect)
        : connectTls({ ...address, ...(isIP(host) === 0 ? { servername: host } : {}), ...tls }, onConnect);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    return socket;
  };
}

/** Cuts what a socket reads into responses. */
class ResponseReader {
  readonly #pool: BlockPool;
  readonly #emit: (data: Buffer) => void;
  readonly #small = Buffer.allocUnsafeSlow(SMALL_BYTES);
  #smallEnd = 0;
  /** The large response that is being read, with its length, and how much of it is there. */
  #large: Buffer | undefined;
  #largeEnd = 0;
  #isKafka = true;

  constructor(pool: BlockPool, emit: (data: Buffer) => void) {
    this.#pool = pool;
    this.#emit = emit;
  }

  /** Where the next bytes belong. */
  get target(): Buffer {
    return this.#large?.subarray(this.#largeEnd) ?? this.#small.subarray(this.#smallEnd);
  }

  /** So many bytes were written to {@link target}. */
  received(bytes: number): void {
    if (this.#large === undefined) {
      this.#smallEnd += bytes;
      this.#cut();
      return;
    }
    this.#largeEnd += bytes;
    if (this.#largeEnd < this.#large.length) return;
    const response = this.#large;
    this.#large = undefined;
    this.#emit(response);
  }

  #cut(): void {
    let at = 0;
    while (this.#isKafka && this.#smallEnd - at >= LENGTH_BYTES) {
      const size = LENGTH_BYTES + this.#small.readInt32BE(at);
      if (size < LENGTH_BYTES || size > LARGEST_BYTES) {
        this.#isKafka = false;
      } else if (size > SMALL_BYTES) {
        this.#large = this.#begin(size);
        this.#largeEnd = this.#small.copy(this.#large, 0, at, this.#smallEnd);
        at += this.#largeEnd;
      } else if (size <= this.#smallEnd - at) {
        const response = Buffer.from(this.#small.subarray(at, at + size));
        at += size;
        responses.add(response);
        this.#emit(response);
      } else break;
    }
    if (!this.#isKafka) {
      // kafkajs may make of it what it does.
      this.#emit(Buffer.from(this.#small.subarray(at, this.#smallEnd)));
      at = this.#smallEnd;
    }
    this.#small.copyWithin(0, at, this.#smallEnd);
    this.#smallEnd -= at;
  }

  #begin(size: number): Buffer {
    const block = this.#pool.take(size);
    const { buffer, byteOffset } = block.bytes;
    blocks.set(buffer, block);
    const response = Buffer.from(buffer, byteOffset, size);
    responses.add(response);
    return response;
  }
}

let isTaken = false;

/** Let kafkajs' connections take a whole response as it is. */
function takeWholeResponses(): void {
  if (isTaken) return;
  isTaken = true;

  const original = Connection.prototype.processData;
  Connection.prototype.processData = function (data) {
    if (!responses.has(data) || this.authHandlers !== null) {
      original.call(this, data);
      return;
    }
    this.requestQueue.fulfillRequest({
      size: data.length - LENGTH_BYTES,
      correlationId: data.readInt32BE(LENGTH_BYTES),
      payload: data.subarray(2 * LENGTH_BYTES),
    });
  };
}
