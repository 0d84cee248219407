/**
 * `verify`: takes the decisions of a stream anew and compares them with its ledger and its accepted events.
 */
import type { Settings } from '../../config/options.js';
import { TriggerError } from '../../errors.js';
import type { Difference } from '../../ledger/difference.js';
import { LedgerLines, type DecidingMenu } from '../../ledger/ledger-lines.js';
import { SCORE_TOLERANCE, Verification } from '../../ledger/verification.js';
import { Pipeline } from '../../pipeline/pipeline.js';
import type { Path } from '../../score/menu.js';
import type { ScorePool } from '../../score/score-pool.js';
import type { Sink } from '../../sink/sink.js';
import type { Intake, Source, SourceRecord } from '../../source/source.js';
import type { Happenings } from '../../telemetry/happenings.js';
import { givesSameBits, ledgerEnvironment } from '../ledger-environment.js';
import { openPool } from '../models.js';
import { grouped, report } from '../result.js';
import { createHappenings } from '../stream.js';
import { COMMON_OPTIONS, defineVerb, KAFKA_OPTIONS, SCORING_OPTIONS, type Context } from '../verb.js';
import { openCandidates, pathsOf } from '../verified-models.js';
import { readVerifiedStream } from '../verified-stream.js';

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
    'run',
    'frameEvents',
    ...KAFKA_OPTIONS,
    ...SCORING_OPTIONS,
    ...COMMON_OPTIONS,
  ],
  async run(settings, _positional, context) {
    const stream = await readVerifiedStream(settings, context.log);
    const { entries, sink, source, ledger } = stream;
    if (!entries.some((entry) => entry.sink === sink)) {
      throw new TriggerError('INPUT_REFUSED', `${ledger}: no entry of ${source} to ${sink}`);
    }
    const lines = new LedgerLines(stream);
    const candidates = await openCandidates(settings);
    const menus: { menu: DecidingMenu; paths: Path[] }[] = [];
    for (const menu of lines.menus) menus.push({ menu, paths: await pathsOf(menu, candidates, ledger) });
    const happenings = createHappenings(context);
    let verification: Verification | undefined;
    let environment = '';
    // A pass over the input for each menu: where one took over from another differs between partitions.
    for (const [pass, { menu, paths }] of menus.entries()) {
      const pool = await openPool(paths, settings, happenings);
      try {
        environment = ledgerEnvironment(pool.device, settings);
        verification ??= new Verification(
          lines,
          stream.published,
          givesSameBits(pool.device) ? environment : undefined,
        );
        const input = new FramesOf(await stream.open(happenings), verification, menu, pass === 0);
        await decideAnew(input, verification, pool, settings, { context, happenings });
      } finally {
        await pool.close();
      }
    }
    if (verification === undefined) {
      throw new TriggerError('INPUT_REFUSED', `${source}: holds none of the frames that are in ${ledger} any more`);
    }
    verification.end();
    await tell(verification, stream.recordingDifference, environment, settings.json);
  },
});

async function decideAnew(
  input: FramesOf,
  verification: Verification,
  pool: ScorePool,
  settings: Settings<'maxBatchDelayUs' | 'maxFrameBytes' | 'maxInFlightBytes'>,
  { context, happenings }: { context: Context; happenings: Happenings },
): Promise<void> {
  const pipeline = new Pipeline(input, pool, NOWHERE, happenings, {
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
    await input.close();
  }
  if (context.stop.aborted) throw new TriggerError('INPUT_REFUSED', 'verify: interrupted before the end');
}

/** The frames of a source that one menu decided. */
class FramesOf implements Source {
  readonly name: string;
  readonly #source: Source;
  readonly #verification: Verification;
  readonly #menu: DecidingMenu;
  readonly #isFirst: boolean;

  /** @param isFirst - frames that no menu decided are told to the verification */
  constructor(source: Source, verification: Verification, menu: DecidingMenu, isFirst: boolean) {
    this.name = source.name;
    this.#source = source;
    this.#verification = verification;
    this.#menu = menu;
    this.#isFirst = isFirst;
  }

  run(intake: Intake, stop: AbortSignal): Promise<void> {
    const offer = (record: SourceRecord): Promise<void> | undefined => {
      const line = this.#verification.ledger.lineOf(record.position);
      if (line?.decidedBy === this.#menu) return intake.offer(record);
      if (line === undefined && this.#isFirst) this.#verification.addUnlisted(record.position);
      this.#source.finished(record);
      return undefined;
    };
    const idle = (): void => {
      intake.idle();
    };
    return this.#source.run({ offer, idle }, stop);
  }

  finished(record: SourceRecord): void {
    this.#source.finished(record);
  }

  close(): Promise<void> {
    return this.#source.close();
  }
}

async function tell(
  verification: Verification,
  recordingDifference: Difference | undefined,
  environment: string,
  json: string | undefined,
): Promise<void> {
  const { ledger, frames, accepted, tolerated, borderline, outside, repeated } = verification;
  const difference = verification.difference ?? recordingDifference;
  const verdict = difference !== undefined ? 'different' : tolerated === 0 ? 'identical' : 'within tolerance';
  const menus = ledger.menus.map((menu) => ({ first: menu.first, frames: menu.frames, paths: menu.paths }));
  const swaps = ledger.swaps();
  const result = {
    verdict,
    frames,
    accepted,
    frames_decided_elsewhere: tolerated,
    borderline_events: borderline,
    frames_outside_ledger: outside,
    frames_gone_from_input: ledger.expired,
    repeated,
    difference,
    menus,
    swaps,
    tolerance: SCORE_TOLERANCE,
    environment,
  };
  const counted = `${grouped(frames)} frames, ${grouped(accepted)} accepted events`;
  const text = [
    difference !== undefined
      ? `different, first at ${difference.where} (${difference.what})\nexpected  ${difference.expected}\nreceived  ${difference.received}`
      : tolerated === 0
        ? `identical: ${counted}`
        : `within a relative tolerance of ${SCORE_TOLERANCE}: ${counted}; ${grouped(tolerated)} of the frames were ` +
          `decided in another environment, so they are not claimed identical` +
          (borderline === 0 ? '' : `; ${grouped(borderline)} events lie at their threshold and were decided otherwise`),
    ...swaps.map(({ at, from, to }) => `menu      from ${at} on ${to}, before it ${from}`),
    ...(repeated === 0 ? [] : [`repeated  ${grouped(repeated)} frames or events, as delivery at least once allows`]),
    ...(outside === 0 ? [] : [`outside   ${grouped(outside)} frames of the input are not in the ledger yet, or older`]),
    ...(ledger.expired === 0 ? [] : [`expired   ${grouped(ledger.expired)} frames are no longer in the input`]),
  ].join('\n');
  await report(json, result, text);
  if (difference !== undefined) {
    throw new TriggerError('VERIFICATION_FAILED', `verify: different, first at ${difference.where}`);
  }
}
