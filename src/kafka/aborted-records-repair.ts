/**
 * A repair of kafkajs 2.2.4: reading committed data, it shows records of aborted transactions where several were
 * aborted close to one another. A broker lists them by where they ended; kafkajs takes the list for one ordered by
 * where they began, and takes up one more of it per record, although a fetch may begin amid several. Here they are
 * picked out as Kafka's own consumer does (CompletedFetch.nextFetchedRecord), and marked as control records, which
 * kafkajs passes by without losing its place.
 */
import Broker from 'kafkajs/src/broker/index.js';

export interface FetchedRecord {
  readonly offset: string;
  readonly key: Buffer | null;
  readonly batchContext?: { readonly producerId: string; readonly inTransaction: boolean };
  isControlRecord?: boolean;
}

export interface FetchedPartition {
  readonly messages: readonly FetchedRecord[];
  abortedTransactions?: readonly { readonly producerId: string; readonly firstOffset: string }[];
}

/** The key of the control record that ends an aborted transaction: version 0, type 0. */
const ABORT_MARKER = Buffer.from([0, 0, 0, 0]);

let repaired = false;

export function repairAbortedRecords(): void {
  if (repaired) return;
  repaired = true;

  const original = Broker.prototype.fetch;
  Broker.prototype.fetch = async function (request) {
    const response = await original.call(this, request);
    for (const { partitions } of response.responses) partitions.forEach(hideAborted);
    return response;
  };
}

/** Mark the records of aborted transactions, so that none of them is left to kafkajs. */
export function hideAborted(partition: FetchedPartition): void {
  const { messages, abortedTransactions: aborted } = partition;
  if (aborted === undefined || aborted.length === 0) return;
  const ahead = aborted
    .map(({ producerId, firstOffset }) => ({ producerId, first: BigInt(firstOffset) }))
    .sort((a, b) => (a.first < b.first ? -1 : 1));
  const inside = new Set<string>();
  for (const message of messages) {
    const { batchContext } = message;
    while (ahead.length > 0 && ahead[0]!.first <= BigInt(message.offset)) inside.add(ahead.shift()!.producerId);
    if (batchContext === undefined) continue;
    if (message.isControlRecord === true) {
      if (message.key !== null && ABORT_MARKER.equals(message.key)) inside.delete(batchContext.producerId);
    } else if (batchContext.inTransaction && inside.has(batchContext.producerId)) {
      message.isControlRecord = true;
    }
  }
  partition.abortedTransactions = [];
}
