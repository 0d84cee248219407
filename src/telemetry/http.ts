/**
 * The pages of a running stream: /metrics (Prometheus text format) and /healthz. On loopback unless told otherwise,
 * and with a bound on everything that whoever connects decides: request line and headers, body, time, connections.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { isIPv6, type AddressInfo } from 'node:net';

import type { Registry } from 'prom-client';

import { messageOf, TriggerError } from '../errors.js';

export interface TelemetryServer {
  readonly url: string;
  close(): Promise<void>;
}

const LOOPBACK = '127.0.0.1';

/** Request line and headers together [bytes]; a longer head is answered with 431. */
const MAX_HEAD_BYTES = 8 * 1024;
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
 */
export async function serveTelemetry(registry: Registry, port: number, host = LOOPBACK): Promise<TelemetryServer> {
  const limits = {
    maxHeaderSize: MAX_HEAD_BYTES,
    headersTimeout: HEAD_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: TIMEOUT_CHECK_MS,
  };
  const server = createServer(limits, (request, response) => {
    const answer = (status: number, text: string, headers: Record<string, string> = {}): void => {
      response.writeHead(status, { 'content-type': 'text/plain', ...headers }).end(text);
    };
    if (request.method !== 'GET' && request.method !== 'HEAD') {
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
      answer(404, 'pages: /metrics /healthz\n');
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
