/**
 * Runs one broker and outlives whoever started it, just long enough to clear up. The process is in a session of its
 * own, so that Ctrl-C in the terminal ends the broker only once its clients have drained; and it holds a channel to
 * its parent that the operating system closes however the parent ends, SIGKILL included.
 */
import { spawn } from 'node:child_process';
import { openSync, rmSync } from 'node:fs';

export interface SupervisedBroker {
  readonly command: string;
  readonly args: readonly string[];
  /** Receives what the broker prints. */
  readonly logFile: string;
  /** Removed at the end. */
  readonly workFolder: string;
  /** Whether the broker's data outlive it: then it is asked to end, otherwise killed. */
  readonly keepsData: boolean;
}

/** What the supervisor tells its parent. */
export type SupervisorReport =
  { readonly kind: 'started'; readonly pid: number } | { readonly kind: 'ended'; readonly how: string };

/** How long a broker that keeps its data may take to end [ms]. */
const GRACE_MS = 20_000;

function supervise(broker: SupervisedBroker): void {
  const report = (message: SupervisorReport): void => {
    if (process.connected) process.send?.(message, () => undefined);
  };
  const output = openSync(broker.logFile, 'a');
  const java = spawn(broker.command, [...broker.args], { stdio: ['ignore', output, output] });
  let ended = false;
  let released = false;

  const clearUp = (): void => {
    rmSync(broker.workFolder, { recursive: true, force: true, maxRetries: 3 });
    process.exit(0);
  };
  const noteEnd = (how: string): void => {
    ended = true;
    report({ kind: 'ended', how });
    // The log stays until the parent has read why.
    if (released) clearUp();
  };
  const release = (): void => {
    if (released) return;
    released = true;
    if (ended) clearUp();
    java.kill(broker.keepsData ? 'SIGTERM' : 'SIGKILL');
    setTimeout(() => java.kill('SIGKILL'), GRACE_MS);
  };

  java.once('spawn', () => {
    report({ kind: 'started', pid: java.pid! });
  });
  java.once('error', (error) => {
    noteEnd(error.message);
  });
  java.once('exit', (code, signal) => {
    noteEnd(signal ?? `exit ${code}`);
  });
  process.once('disconnect', release);
  process.once('SIGTERM', release);
  process.once('SIGINT', release);
  if (!process.connected) release();
}

supervise(JSON.parse(process.argv[2]!) as SupervisedBroker);
