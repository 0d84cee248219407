/**
 * `reload`: ask a running emulator for another menu and wait for what becomes of it.
 */
import { existsSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { flagName, type Settings } from '../../config/options.js';
import { messageOf, TriggerError } from '../../errors.js';
import type { MenuChangeReport } from '../../pipeline/menu-change.js';
import type { MenuStatus } from '../menu-reloads.js';
import { MENU_OPTIONS, type MenuRequest } from '../menu-request.js';
import { grouped, report, table } from '../result.js';
import { COMMON_OPTIONS, defineVerb, type Context } from '../verb.js';

const POLL_MS = 200;
const ANSWER_TIMEOUT_MS = 10_000;

type Change = NonNullable<MenuStatus['change']>;

export const reloadVerb = defineVerb({
  name: 'reload',
  summary: 'have a running emulator take another menu: models, thresholds',
  arguments: [],
  options: ['reloadPort', 'httpHost', ...MENU_OPTIONS, 'cancel', ...COMMON_OPTIONS],
  async run(settings, _positional, context) {
    const page = new MenuClient(settings);
    if (settings.cancel) {
      await report(settings.json, await page.send('DELETE'), 'the change was given up; the running menu goes on');
      return;
    }
    const { change: id } = (await page.send('POST', bodyOf(settings))) as { change: number };
    const change = await outcomeOf(page, id, context);
    if (change === undefined) return;
    await report(settings.json, change, changeText(change));
    if (change.outcome !== 'taken') {
      throw new TriggerError(
        'INPUT_REFUSED',
        `menu ${change.outcome}: ${'reason' in change ? (change.reason ?? '') : ''}`,
      );
    }
  },
});

/** Wait for the end of a change; undefined where the waiting was stopped. */
async function outcomeOf(page: MenuClient, id: number, { log, stop }: Context): Promise<Change | undefined> {
  let said = '';
  while (!stop.aborted) {
    const { change, last } = (await page.send('GET')) as MenuStatus;
    const ours = [change, last].find((one) => one?.id === id);
    if (ours === undefined || ours === null)
      throw new TriggerError('RELOAD_FAILED', `change ${id} is not known any more`);
    if (ours.outcome !== 'pending') return ours;
    const shadow = 'shadow' in ours ? ours.shadow : null;
    const news = `${ours.state} ${shadow === null ? '' : shadow.events}`;
    if (news !== said) {
      log.info({ change: id, state: ours.state, ...(shadow === null ? {} : { shadowEvents: shadow.events }) }, 'menu');
      said = news;
    }
    await delay(POLL_MS, undefined, { signal: stop }).catch(() => undefined);
  }
  log.info({ change: id }, 'not waiting any longer; the change goes on (--cancel gives it up)');
  return undefined;
}

/** What is asked for, under the names of the options; a folder as the emulator finds it, wherever it runs. */
function bodyOf(settings: MenuRequest): object {
  return Object.fromEntries(
    MENU_OPTIONS.flatMap((name) => {
      const value = name === 'model' ? settings.model?.map(absolute) : settings[name];
      return value === undefined ? [] : [[flagName(name), value]];
    }),
  );
}

function absolute(model: string): string {
  return existsSync(join(model, 'manifest.json')) ? resolve(model) : model;
}

/** The page /menu of a running emulator. */
class MenuClient {
  readonly #url: string;
  readonly #place: string;

  constructor({ httpHost, reloadPort }: Settings<'httpHost' | 'reloadPort'>) {
    this.#url = `http://${isIPv6(httpHost) ? `[${httpHost}]` : httpHost}:${reloadPort}/menu`;
    this.#place = `--${flagName('reloadPort')} ${reloadPort}`;
  }

  async send(method: 'GET' | 'POST' | 'DELETE', body?: object): Promise<object> {
    let response: Response;
    let answer: unknown;
    try {
      response = await fetch(this.#url, {
        method,
        signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
        ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      });
      answer = await response.json();
    } catch (error) {
      const cause = error instanceof Error && error.cause !== undefined ? messageOf(error.cause) : messageOf(error);
      throw new TriggerError('RELOAD_FAILED', `${this.#place}: no emulator answers there: ${cause}`, { cause: error });
    }
    if (response.ok) return answer as object;
    const { error } = answer as { error?: unknown };
    throw new TriggerError(
      response.status === 409 ? 'MENU_BUSY' : 'INPUT_REFUSED',
      `${this.#place}: ${typeof error === 'string' ? error : `answered ${response.status}`}`,
    );
  }
}

function changeText(change: Change): string {
  const lines = [`menu ${change.outcome}${'reason' in change ? `: ${change.reason ?? ''}` : ''}`];
  if (!('to' in change)) return lines[0]!;
  const rows = change.to.map(({ path, threshold, sha256 }) => [path, threshold.toPrecision(6), sha256.slice(0, 12)]);
  lines.push('', table([['path', 'threshold', 'sha256'], ...rows]), '', ...shadowLines(change));
  if (change.began.length > 0) {
    const places = change.began.map(({ partition, offset, run, luminosity_section: section, orbit }) => [
      String(partition),
      offset,
      run === undefined ? '' : `run ${run}, section ${section!}, orbit ${orbit!}`,
    ]);
    lines.push('', table([['partition', 'from offset', 'first frame'], ...places]));
  }
  return lines.join('\n');
}

function shadowLines({ shadow, outcome }: MenuChangeReport): string[] {
  if (shadow === null) return ['not scored beside the running menu'];
  const rows = [
    ['shadow', 'accepted', 'rate', '95 % low', 'high'],
    ...(['running', 'candidate'] as const).map((menu) => {
      const { accepted, rate, low, high } = shadow[menu];
      return [menu, grouped(accepted), ...[rate, low, high].map((value) => value.toPrecision(3))];
    }),
  ];
  const { both, only_running: onlyRunning, only_candidate: onlyCandidate, paths, band } = shadow;
  return [
    table(rows),
    `of ${grouped(shadow.events)} events: ${grouped(both)} accepted by both, ${grouped(onlyRunning)} by the running menu alone, ` +
      `${grouped(onlyCandidate)} by the candidate alone`,
    ...paths.flatMap(({ path, running_path: other, correlation, max_score_difference: difference }) =>
      correlation === null
        ? []
        : [
            `scores of ${path} and ${other!}: correlation ${correlation.toFixed(6)}` +
              (difference === null ? '' : `, largest difference ${difference.toPrecision(3)}`),
          ],
    ),
    ...(outcome === 'taken' && band.of !== 'none' && !band.demonstrated
      ? ['too few accepted events to show that the rate lies in the band']
      : []),
  ];
}
