/**
 * `verify`: takes the decisions of a stream anew and compares them with its ledger and its accepted events.
 */
import { randomUUID } from 'node:crypto';

import { TriggerError } from '../../errors.js';
import { decodeAcceptedEvent, type AcceptedEvent } from '../../event/accepted-event.js';
import { createKafka } from '../../kafka/client.js';
import { readTopicRange, topicBounds } from '../../kafka/topic-range.js';
import { requireTopics } from '../../kafka/topics.js';
import { decodeLedgerEntry, type LedgerEntry } from '../../ledger/entry.js';
import { SCORE_TOLERANCE, Verification } from '../../ledger/verification.js';
import { Pipeline } from '../../pipeline/pipeline.js';
import type { Path } from '../../score/menu.js';
import type { Sink } from '../../sink/sink.js';
import { KafkaSource } from '../../source/kafka-source.js';
import { withAdmin } from '../accepted-reader.js';
import { connectionOf, topicOf } from '../kafka.js';
import { ledgerEnvironment } from '../ledger-environment.js';
import { openPaths, openPool } from '../models.js';
import { grouped, report } from '../result.js';
import { createHappenings } from '../stream.js';
import { COMMON_OPTIONS, defineVerb, KAFKA_OPTIONS, SCORING_OPTIONS } from '../verb.js';

const NOWHERE: Sink = {
  name: 'nowhere',
  write: () => Promise.resolve(),
  close: () => Promise.resolve(),
};

export const verifyVerb = defineVerb({
  name: 'verify',
  summary: 'take the decisions of a stream anew and compare them with its ledger and its accepted events',
  arguments: [],
  options: [
    'source',
    'sink',
    'ledger',
    'model',
    'targetRate',
    'threshold',
    ...KAFKA_OPTIONS,
    ...SCORING_OPTIONS,
    ...COMMON_OPTIONS,
  ],
  async run(settings, _positional, context) {
    const [source, sink] = [topicOf(settings.source), topicOf(settings.sink)];
    if (source === undefined || sink === undefined) {
      throw new TriggerError('USAGE', 'verify: expected kafka:TOPIC for --source and --sink');
    }
    const connection = connectionOf(settings);
    const kafka = createKafka(connection, context.log);
    const entries: LedgerEntry[] = [];
    const published: AcceptedEvent[] = [];
    await withAdmin(kafka, connection, async (admin) => {
      await requireTopics(admin, [source, sink, settings.ledger], 'verify reads all three');
      await readTopicRange({
        kafka,
        topic: settings.ledger,
        ...(await topicBounds(admin, settings.ledger)),
        visit: (_partition, { value }) => {
          const entry = value === null ? undefined : decodeLedgerEntry(value);
          if (entry?.source === source) entries.push(entry);
        },
      });
      await readTopicRange({
        kafka,
        topic: sink,
        ...(await topicBounds(admin, sink)),
        visit: (_partition, { value }) => {
          const event = value === null ? undefined : decodeAcceptedEvent(value);
          if (event?.position.source === source) published.push(event);
        },
      });
    });
    const paths = await openPaths(settings);
    requireSamePaths(entries, paths, settings.ledger, source);
    const happenings = createHappenings(context);
    const pool = await openPool(paths, settings, happenings);
    const here = ledgerEnvironment(pool.device, settings.quantise);
    const exact = entries.every(({ environment }) => environment === here);
    const verification = new Verification(entries, published, exact);
    const frames = new KafkaSource({
      connection,
      topic: source,
      groupId: `nae-trigger-verify-${randomUUID()}`,
      happenings,
      stopAtEnd: true,
    });
    const pipeline = new Pipeline(frames, pool, NOWHERE, happenings, {
      limits: { maxFrameBytes: settings.maxFrameBytes },
      maxInFlightBytes: settings.maxInFlightBytes,
      maxBatchDelayMs: settings.maxBatchDelayUs / 1000,
      ledger: true,
      onDigest: (frame, digest) => {
        verification.add(frame, digest);
      },
    });
    try {
      await pipeline.run(context.stop);
    } finally {
      await frames.close();
      await pool.close();
    }
    if (context.stop.aborted) throw new TriggerError('INPUT_REFUSED', 'verify: interrupted before the end');
    verification.end();
    const { difference, frames: compared, accepted, beyond } = verification;
    const verdict = difference !== undefined ? 'different' : exact ? 'identical' : 'within tolerance';
    const result = { verdict, frames: compared, accepted, frames_beyond_ledger: beyond, difference, environment: here };
    const counted = `${grouped(compared)} frames, ${grouped(accepted)} accepted events`;
    const text =
      difference !== undefined
        ? `different, first at ${difference.where}\nexpected  ${difference.expected}\nreceived  ${difference.received}`
        : exact
          ? `identical: ${counted}`
          : `within a relative tolerance of ${SCORE_TOLERANCE}: ${counted}; decided elsewhere, so not claimed identical`;
    await report(settings.json, result, text);
    if (difference !== undefined) {
      throw new TriggerError('VERIFICATION_FAILED', `verify: different, first at ${difference.where}`);
    }
  },
});

/** Other models or thresholds would make every frame differ, and say nothing. */
function requireSamePaths(
  entries: readonly LedgerEntry[],
  paths: readonly Path[],
  ledger: string,
  source: string,
): void {
  if (entries.length === 0) throw new TriggerError('INPUT_REFUSED', `${ledger}: no entry of ${source}`);
  const wanted = paths
    .map(({ name, bundle, threshold }) => `${name} ${bundle.manifest.sha256} >= ${threshold}`)
    .join(', ');
  for (const entry of entries) {
    const menus = new Set(entry.paths.map(({ menu }) => menu));
    for (const menu of menus) {
      const decided = entry.paths
        .filter((one) => one.menu === menu)
        .map(({ path, modelSha256, threshold }) => `${path} ${modelSha256} >= ${threshold}`)
        .join(', ');
      if (decided === wanted) continue;
      throw new TriggerError(
        'INPUT_REFUSED',
        `${ledger}: partition ${entry.partition} from offset ${entry.frames[0]?.offset ?? 0n} was decided by ${decided}; ` +
          `--model and --threshold ask for ${wanted}`,
      );
    }
  }
}
