/** What every transaction of this package has to know about the broker's answers. */
import { setTimeout as sleep } from 'node:timers/promises';

import type { Transaction } from 'kafkajs';

import { protocolErrorType } from './client.js';

/** The broker finishes a transaction a few milliseconds after it has acknowledged its end. */
const OTHER_END_WAIT_MS = 10;
const OTHER_END_LIMIT_MS = 10_000;

/** Answers that say: another producer of this transactional id has been initialised, or the broker gave this one up. */
const FENCED: ReadonlySet<string> = new Set([
  'INVALID_PRODUCER_EPOCH',
  'INVALID_PRODUCER_ID_MAPPING',
  'INVALID_TXN_STATE',
  'PRODUCER_FENCED',
  'UNKNOWN_PRODUCER_ID',
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
]);

/** Whether a transaction failed because its producer lost the right to its transactional id. */
export function isFenced(error: unknown): boolean {
  return FENCED.has(protocolErrorType(error) ?? '');
}

/**
 * Whether the broker was just ending a transaction of this transactional id. Adding to the next one has to wait for
 * that; at a commit it is this very transaction, and somebody else (a new producer, the time limit) is ending it.
 */
export function isEnding(error: unknown): boolean {
  return protocolErrorType(error) === 'CONCURRENT_TRANSACTIONS';
}

/** `transaction.sendOffsets`, again while another transaction is being ended: kafkajs does that with records only. */
export async function sendOffsets(
  transaction: Transaction,
  offsets: Parameters<Transaction['sendOffsets']>[0],
): Promise<void> {
  const deadline = performance.now() + OTHER_END_LIMIT_MS;
  for (;;) {
    try {
      await transaction.sendOffsets(offsets);
      return;
    } catch (error) {
      if (!isEnding(error) || performance.now() > deadline) throw error;
      await sleep(OTHER_END_WAIT_MS);
    }
  }
}
