/**
 * The pages of a running stream: /metrics (Prometheus text format), /healthz and pages in JSON. On loopback unless told
 * otherwise, and with a bound on everything that whoever connects decides: request line and headers, body, time,
 * connections. Pages that can be written to take requests from this machine alone, and none that a browser sends for
 * somebody's web page.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { isIPv6, type AddressInfo } from 'node:net';

import type { Registry } from 'prom-client';

import { messageOf, TriggerError } from '../errors.js';
import { redacted } from './redaction.js';

export interface TelemetryServer {
  readonly url: string;
  close(): Promise<void>;
}

export interface JsonAnswer {
  readonly status: number;
  readonly body: object;
}

/** A page in JSON; what it lacks is answered with 405. */
export interface JsonPage {
  read(): object;
  /** @param document - the body, any JSON value */
  post?(document: unknown): JsonAnswer;
  delete?(): JsonAnswer;
}

export type JsonPages = Readonly<Record<string, JsonPage>>;

type Answer = (status: number, text: string, headers?: Record<string, string>) => void;

const LOOPBACK = '127.0.0.1';

/** Request line and headers together [bytes]; a longer head is answered with 431. */
const MAX_HEAD_BYTES = 8 * 1024;
/** Body of a request to a page in JSON [bytes]; a longer one is answered with 413. */
const MAX_BODY_BYTES = 64 * 1024;
/** How long a client may take for its head, and for the whole request [ms]; then 408 and the end. */
const HEAD_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 10_000;
/** How often these are looked at [ms]. */
const TIMEOUT_CHECK_MS = 1_000;
/** A few scrapers and a person; further connections are closed at once. */
const MAX_CONNECTIONS = 64;

/**
 * Serve a registry. Throws USAGE where the port is taken or the address is none of this machine's.
 *
 * @param port - 0 picks a free one
 * @param pages - in JSON, by their path
 */
export async function serveTelemetry(
  registry: Registry,
  port: number,
  host = LOOPBACK,
  pages: JsonPages = {},
): Promise<TelemetryServer> {
  const limits = {
    maxHeaderSize: MAX_HEAD_BYTES,
    headersTimeout: HEAD_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: TIMEOUT_CHECK_MS,
  };
  const server = createServer(limits, (request, response) => {
    const answer: Answer = (status, text, headers = {}) => {
      response.writeHead(status, { 'content-type': 'text/plain', ...headers }).end(text);
    };
    const json = pages[request.url ?? ''];
    if (json !== undefined) {
      answerJson(json, request, answer).catch((error: unknown) => {
        answer(500, `${redacted(messageOf(error))}\n`);
      });
    } else if (request.method !== 'GET' && request.method !== 'HEAD') {
      answer(405, 'GET or HEAD\n', { allow: 'GET, HEAD', connection: 'close' });
    } else if (hasBody(request)) {
      answer(413, 'no body is expected\n', { connection: 'close' });
    } else if (request.url === '/healthz') {
      answer(200, 'ok\n');
    } else if (request.url === '/metrics') {
      registry.metrics().then(
        (text) => {
          answer(200, text, { 'content-type': registry.contentType });
        },
        (error: unknown) => {
          answer(500, `${messageOf(error)}\n`);
        },
      );
    } else {
      answer(404, `pages: ${['/metrics', '/healthz', ...Object.keys(pages)].join(' ')}\n`);
    }
  });
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, port, host);
  const { port: opened } = server.address() as AddressInfo;
  return {
    url: `http://${isIPv6(host) ? `[${host}]` : host}:${opened}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

async function answerJson(page: JsonPage, request: IncomingMessage, answer: Answer): Promise<void> {
  const send = ({ status, body }: JsonAnswer, headers: Record<string, string> = {}): void => {
    const text = redacted(`${JSON.stringify(body, null, 2)}\n`);
    answer(status, text, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers });
  };
  const refuse = (status: number, error: string, headers: Record<string, string> = {}): void => {
    send({ status, body: { error } }, { connection: 'close', ...headers });
  };
  const { method } = request;
  if (method === 'GET' || method === 'HEAD') {
    if (hasBody(request)) refuse(413, 'no body is expected');
    else send({ status: 200, body: page.read() });
    return;
  }
  const allowed = ['GET', 'HEAD', ...(page.post ? ['POST'] : []), ...(page.delete ? ['DELETE'] : [])];
  if (!allowed.includes(method ?? '')) {
    refuse(405, `expected ${allowed.join(', ')}`, { allow: allowed.join(', ') });
    return;
  }
  if (!isLocal(request)) {
    refuse(403, 'expected a request from this machine, and not from a web page');
    return;
  }
  if (method === 'DELETE') {
    if (hasBody(request)) refuse(413, 'no body is expected');
    else send(page.delete!());
    return;
  }
  // Browsers ask for permission, which they are not given, before they send this type to another origin.
  if (!/^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? '')) {
    refuse(415, 'expected content-type application/json');
    return;
  }
  const body = await readBody(request);
  if (body === undefined) {
    refuse(413, `expected a body of at most ${MAX_BODY_BYTES} bytes`);
    return;
  }
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    refuse(400, 'expected a body of JSON in UTF-8');
    return;
  }
  send(page.post!(document));
}

/** Whether a request comes from this machine, under a name that no web page can give itself (DNS rebinding). */
function isLocal({ socket, headers }: IncomingMessage): boolean {
  const peer = (socket.remoteAddress ?? '').replace(/^::ffff:/, '');
  if (peer !== '::1' && !peer.startsWith('127.')) return false;
  if (headers.origin !== undefined || headers['sec-fetch-site'] !== undefined) return false;
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i.test(headers.host ?? '');
}

/** The body of a request; undefined where it is longer than it may be. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) return undefined;
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const option = host === LOOPBACK ? '' : ` --http-host ${host}`;
      reject(new TriggerError('USAGE', `--http-port ${port}${option}: ${error.message}`, { cause: error }));
    });
    server.listen(port, host, () => {
      // The pages must not keep a finished stream alive.
      server.unref();
      resolve();
    });
  });
}
