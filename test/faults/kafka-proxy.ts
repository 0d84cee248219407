/**
 * A TCP proxy in front of a broker that knows requests by their kind: it can be slow, and it can hold a request, or
 * its answer, until something else has happened. What lies on the wire in between is the clients' and the broker's own.
 */
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Keys of requests (Kafka protocol, ApiKeys). */
export const Api = {
  Produce: 0,
  Fetch: 1,
  InitProducerId: 22,
  AddPartitionsToTxn: 24,
  AddOffsetsToTxn: 25,
  EndTxn: 26,
  TxnOffsetCommit: 28,
} as const;

/** Requests that begin with a transactional id. */
const TRANSACTIONAL: ReadonlySet<number> = new Set([
  Api.Produce,
  Api.InitProducerId,
  Api.AddPartitionsToTxn,
  Api.AddOffsetsToTxn,
  Api.EndTxn,
  Api.TxnOffsetCommit,
]);

export interface ProxiedRequest {
  readonly api: number;
  /** Connections are numbered from 0 as they come. */
  readonly connection: number;
  readonly transactionalId: string | undefined;
}

/** What becomes of a message: it goes on, once a promise has resolved; or it and its connection are dropped. */
type Verdict = 'drop' | undefined;
type Rule = (request: ProxiedRequest) => Verdict | Promise<Verdict>;

const PASS: Rule = () => undefined;

export class KafkaProxy {
  /** Asked before a request goes to the broker. */
  onRequest: Rule = PASS;
  /** Asked before the answer to a request goes back. */
  onAnswer: Rule = PASS;
  /** Added to every request and every answer [ms]. */
  latencyMs = 0;
  /** Of each connection, either way. */
  bytesPerSecond = Infinity;
  connections = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(targetPort: number) {
    this.#server = createServer((client) => {
      this.#serve(client, connect(targetPort, '127.0.0.1'));
    });
  }

  /** Listens on a free port of the loopback. */
  static async open(targetPort: number): Promise<KafkaProxy> {
    const proxy = new KafkaProxy(targetPort);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Be no obstacle. */
  reset(): void {
    this.onRequest = PASS;
    this.onAnswer = PASS;
    this.latencyMs = 0;
    this.bytesPerSecond = Infinity;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(client: Socket, broker: Socket): void {
    const connection = this.connections++;
    const unanswered: ProxiedRequest[] = [];
    const end = (): void => {
      for (const socket of [client, broker]) {
        socket.destroy();
        this.#sockets.delete(socket);
      }
    };
    for (const socket of [client, broker]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', end);
      socket.on('close', end);
    }
    const requests = this.#relay(client, broker, (message) => {
      const request = requestOf(message, connection);
      unanswered.push(request);
      return this.onRequest(request);
    });
    // A broker answers the requests of a connection in their order.
    const answers = this.#relay(broker, client, () => {
      const request = unanswered.shift();
      return request === undefined ? undefined : this.onAnswer(request);
    });
    Promise.all([requests, answers]).catch(end).finally(end);
  }

  /** Message for message, until either side ends. */
  async #relay(from: Socket, to: Socket, rule: (message: Buffer) => Verdict | Promise<Verdict>): Promise<void> {
    for await (const message of messagesOf(from)) {
      if ((await rule(message)) === 'drop') throw new Error('dropped');
      const delayMs = this.latencyMs + (1000 * message.length) / this.bytesPerSecond;
      if (delayMs > 0) await sleep(delayMs);
      if (to.destroyed) return;
      if (!to.write(message)) await drained(to);
    }
  }
}

/** Resolves when a socket takes more, or will never again. */
function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      socket.off('drain', settle).off('close', settle);
      resolve();
    };
    socket.on('drain', settle).on('close', settle);
  });
}

/** Messages with their length before them (Kafka protocol). */
async function* messagesOf(socket: Socket): AsyncGenerator<Buffer> {
  let chunks: Buffer[] = [];
  let held = 0;
  let wanted = 4;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    held += chunk.length;
    while (held >= wanted) {
      let all = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
      while (all.length >= 4 && all.length >= 4 + all.readInt32BE(0)) {
        const end = 4 + all.readInt32BE(0);
        yield all.subarray(0, end);
        all = all.subarray(end);
      }
      chunks = [all];
      held = all.length;
      wanted = all.length < 4 ? 4 : 4 + all.readInt32BE(0);
    }
  }
}

/** Length, key (int16), version (int16), correlation id (int32), client id (string), then the body. */
function requestOf(message: Buffer, connection: number): ProxiedRequest {
  const api = message.readInt16BE(4);
  if (!TRANSACTIONAL.has(api)) return { api, connection, transactionalId: undefined };
  const body = 14 + Math.max(0, message.readInt16BE(12));
  const length = message.readInt16BE(body);
  const transactionalId = length < 0 ? undefined : message.toString('utf8', body + 2, body + 2 + length);
  return { api, connection, transactionalId };
}
