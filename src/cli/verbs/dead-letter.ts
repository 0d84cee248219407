/**
 * `dead-letter list|redrive`: what could not be decided: look at it, and send it again after a fix.
 */
import {
  openLetterFile,
  openLetterTopic,
  type LetterStore,
  type StoredLetter,
} from '../../dead-letter/letter-store.js';
import { redrive } from '../../dead-letter/redrive.js';
import { isSelected } from '../../dead-letter/select.js';
import { TriggerError } from '../../errors.js';
import { outlineOf } from '../../event/frame.js';
import type { Settings } from '../../config/options.js';
import { connectionOf, topicOf } from '../kafka.js';
import { grouped, report } from '../result.js';
import { COMMON_OPTIONS, defineVerb, KAFKA_OPTIONS, type Context } from '../verb.js';

const OPTIONS = [
  'reason',
  'letterSource',
  'limit',
  'redriveTo',
  'redriveGroup',
  'dryRun',
  ...KAFKA_OPTIONS,
  ...COMMON_OPTIONS,
] as const;
type LetterSettings = Settings<(typeof OPTIONS)[number]>;

const DEFAULT_LISTED = 100;

export const deadLetterVerb = defineVerb({
  name: 'dead-letter',
  summary: 'list dead letters (kafka:TOPIC or FILE.dead-letter.jsonl), or send them again (redrive)',
  arguments: ['LIST|REDRIVE', 'KAFKA:TOPIC|FILE'],
  options: OPTIONS,
  async run(settings, [action = '', place = ''], context) {
    if (action !== 'list' && action !== 'redrive') {
      throw new TriggerError('USAGE', `${action}: expected list or redrive`);
    }
    const topic = topicOf(place);
    const store =
      topic === undefined
        ? await openLetterFile(place)
        : await openLetterTopic(connectionOf(settings), topic, context.log);
    await (action === 'list' ? list : send)(store, settings, context);
  },
});

async function list(store: LetterStore, settings: LetterSettings, { stop }: Context): Promise<void> {
  const { limit = DEFAULT_LISTED, reason: reasons, letterSource: source } = settings;
  const shown: ReturnType<typeof described>[] = [];
  const counts = new Map<string, number>();
  let selected = 0;
  const foreign = await store.read((stored) => {
    const { letter } = stored;
    if (!isSelected({ reasons, source }, letter)) return;
    selected++;
    counts.set(letter.reason, (counts.get(letter.reason) ?? 0) + 1);
    if (shown.length < limit) shown.push(described(stored));
  }, stop);
  const lines = shown.flatMap(({ kind, reason, detail, at, source: from, bytes, frame }) => [
    `${at.partition}@${at.offset}  ${reason} (${kind}) from ${from.source}, partition ${from.partition}, offset ${from.offset}` +
      `${from.index === undefined ? '' : `, event ${from.index}`}: ${grouped(bytes)} bytes`,
    `    ${detail}`,
    ...(frame === undefined
      ? []
      : [
          `    ${frame.encoding}, run ${frame.run}, luminosity section ${frame.luminosity_section}, orbit ${frame.orbit}` +
            `${frame.bunch_crossing === undefined ? '' : `, crossing ${frame.bunch_crossing}`}, events ${frame.events}`,
        ]),
  ]);
  const summary = Array.from(counts, ([reason, count]) => `${grouped(count)} ${reason}`).join(', ');
  await report(
    settings.json,
    { letters: shown, selected, reasons: Object.fromEntries(counts), foreign },
    [
      ...lines,
      `${store.name}: ${grouped(selected)} dead letters${summary === '' ? '' : ` (${summary})`}` +
        `${shown.length < selected ? `, the first ${grouped(shown.length)} shown (--limit)` : ''}${foreignText(foreign)}`,
    ].join('\n'),
  );
}

/** A letter as `--json` has it, without its bytes. */
function described({ letter, partition, number }: StoredLetter) {
  const { kind, reason, detail, position, index, bytes } = letter;
  const outline = outlineOf(bytes);
  return {
    // As strings, which hold every offset.
    at: { partition, offset: String(number) },
    kind,
    reason,
    detail,
    source: { source: position.source, partition: position.partition, offset: String(position.offset), index },
    bytes: bytes.length,
    frame:
      outline === undefined
        ? undefined
        : {
            encoding: outline.encoding,
            run: outline.run,
            luminosity_section: outline.luminositySection,
            orbit: outline.orbit,
            bunch_crossing: outline.bunchCrossing,
            events: outline.eventCount,
          },
  };
}

async function send(store: LetterStore, settings: LetterSettings, { log, stop }: Context): Promise<void> {
  const {
    redriveTo: to,
    redriveGroup: group,
    dryRun,
    limit = Infinity,
    reason: reasons,
    letterSource: source,
  } = settings;
  const topic = to === undefined ? undefined : topicOf(to);
  if (to !== undefined && topic === undefined) throw new TriggerError('USAGE', `--to ${to}: expected kafka:TOPIC`);
  const { sent, sentBefore, foreign } = await redrive(
    store,
    { connection: connectionOf(settings), log, selection: { reasons, source }, topic, limit, group, dryRun },
    stop,
  );
  const total = [...sent.values()].reduce((sum, count) => sum + count, 0);
  const targets = Array.from(sent, ([name, count]) => `${grouped(count)} to ${name}`).join(', ');
  await report(
    settings.json,
    { sent: total, topics: Object.fromEntries(sent), sent_before: sentBefore, foreign, dry_run: dryRun },
    `${store.name}: ${grouped(total)} dead letters ${dryRun ? 'would be ' : ''}sent${targets === '' ? '' : ` (${targets})`}, ` +
      `${grouped(sentBefore)} sent before${foreignText(foreign)}`,
  );
}

function foreignText(foreign: number): string {
  return foreign === 0 ? '' : `; ${grouped(foreign)} other messages passed over`;
}
