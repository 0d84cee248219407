/**
 * What another menu is asked for with, by signal, over HTTP or by the verb `reload`.
 */
import type { Settings } from '../config/options.js';
import { settingsOf } from '../config/load.js';
import { parseShadowBand } from '../decide/shadow-comparison.js';
import { TriggerError } from '../errors.js';
import { parseSwapPoint } from '../event/swap-point.js';
import type { MenuChangeOptions } from '../pipeline/menu-change.js';
import type { Menu, Path } from '../score/menu.js';

export const MENU_OPTIONS = [
  'model',
  'targetRate',
  'threshold',
  'cascade',
  'swapAt',
  'shadowEvents',
  'shadowBand',
] as const;
export type MenuRequest = Settings<(typeof MENU_OPTIONS)[number]>;

/**
 * The request in a document from HTTP: option names and values. Models that are not named stay those that run, and so
 * does their calibrated rate where neither rate nor threshold is given, and whether students reject first.
 *
 * @throws TriggerError USAGE
 */
export function menuRequestOf(document: unknown, running: Menu): MenuRequest {
  const asked = settingsOf(MENU_OPTIONS, document, '/menu');
  const { targetRate, threshold } = asked;
  if ([asked.model, targetRate, threshold, asked.cascade].every((value) => value === undefined)) {
    throw new TriggerError('USAGE', '/menu: expected model, target-rate, threshold or cascade, received none of them');
  }
  const request = { ...asked, cascade: asked.cascade ?? running.paths.some(({ student }) => student !== undefined) };
  const model = request.model ?? running.paths.map(({ bundle }) => bundle.directory);
  if (targetRate !== undefined || threshold !== undefined) return { ...request, model };
  const [rate, ...others] = new Set(running.paths.map((path) => path.targetRate));
  if (rate === undefined || others.length > 0) {
    throw new TriggerError(
      'USAGE',
      '/menu: expected target-rate or threshold: the running menu has no one calibrated rate',
    );
  }
  return { ...request, model, targetRate: rate };
}

/** How the menu of a request is taken. */
export function changeOptions(request: MenuRequest, from: readonly Path[], to: readonly Path[]): MenuChangeOptions {
  return {
    at: parseSwapPoint(request.swapAt)!,
    shadowEvents: request.shadowEvents,
    band: parseShadowBand(request.shadowBand),
    expectedRatio: expectedRatio(from, to),
  };
}

/** Of the rates of two menus: that of their calibrated rates, where all have one; otherwise 1. */
function expectedRatio(from: readonly Path[], to: readonly Path[]): number {
  const sum = (paths: readonly Path[]): number =>
    paths.reduce((total, { targetRate }) => total + (targetRate ?? NaN), 0);
  const ratio = sum(to) / sum(from);
  return Number.isNaN(ratio) ? 1 : ratio;
}
