/**
 * The pages of a running stream, on loopback: /metrics (Prometheus text format) and /healthz.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import type { Registry } from 'prom-client';

import { messageOf, TriggerError } from '../errors.js';

export interface TelemetryServer {
  readonly url: string;
  close(): Promise<void>;
}

/** Serve a registry on 127.0.0.1. Throws USAGE where the port is taken. */
export async function serveTelemetry(registry: Registry, port: number): Promise<TelemetryServer> {
  const server = createServer((request, response) => {
    request.resume();
    if (request.method !== 'GET') {
      response.writeHead(405, { allow: 'GET' }).end();
    } else if (request.url === '/healthz') {
      response.writeHead(200, { 'content-type': 'text/plain' }).end('ok\n');
    } else if (request.url === '/metrics') {
      registry.metrics().then(
        (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
        (error: unknown) => response.writeHead(500, { 'content-type': 'text/plain' }).end(`${messageOf(error)}\n`),
      );
    } else {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('pages: /metrics /healthz\n');
    }
  });
  await listen(server, port);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(new TriggerError('USAGE', `--http-port ${port}: ${error.message}`, { cause: error }));
    });
    server.listen(port, '127.0.0.1', () => {
      // The pages must not keep a finished stream alive.
      server.unref();
      resolve();
    });
  });
}
