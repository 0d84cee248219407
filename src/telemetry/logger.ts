import { pino, destination, type Logger } from 'pino';
import { PinoPretty } from 'pino-pretty';

import { redacted } from './redaction.js';

export type { Logger };

export const LOG_LEVELS = ['silent', 'error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Logs go to stderr: readable lines on a terminal, JSON lines elsewhere. ERROR means that data is at risk. */
export function createLogger(level: LogLevel): Logger {
  const options = { level, base: null, hooks: { streamWrite: redacted } };
  if (process.stderr.isTTY) {
    return pino(
      options,
      PinoPretty({ destination: 2, sync: true, ignore: 'pid,hostname', translateTime: 'HH:MM:ss.l' }),
    );
  }
  return pino(options, destination({ dest: 2, sync: true }));
}

/** For library use and tests: says nothing. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' });
}
