/**
 * From words and files to validated settings.
 */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { z } from 'zod';

import { messageOf, TriggerError } from '../errors.js';
import { flagName, OPTIONS, type OptionName, type Settings } from './options.js';

/**
 * Settings of a verb: the command line over the configuration file over the defaults.
 *
 * @param names - options that the verb takes; anything else in the file is refused
 * @param given - values from the command line
 * @throws TriggerError USAGE naming the option, what was expected and what came
 */
export function loadSettings<Names extends OptionName>(
  names: readonly Names[],
  given: Readonly<Partial<Record<OptionName, unknown>>>,
): Settings<Names> {
  const file = typeof given.config === 'string' ? readConfigFile(given.config, names) : {};
  const settings: Partial<Record<OptionName, unknown>> = {};
  for (const name of names) {
    const fromFile = given[name] === undefined;
    const value = fromFile ? file[name] : given[name];
    const parsed = OPTIONS[name].schema.safeParse(value);
    if (!parsed.success) {
      const place =
        fromFile && value !== undefined ? `${String(given.config)}: ${flagName(name)}` : `--${flagName(name)}`;
      const wrong =
        value === undefined ? 'is required' : `${firstIssue(parsed.error)}, received ${JSON.stringify(value)}`;
      throw new TriggerError('USAGE', `${place}: ${wrong}`);
    }
    settings[name] = parsed.data;
  }
  return settings as Settings<Names>;
}

function firstIssue(error: z.ZodError): string {
  return error.issues[0]?.message ?? error.message;
}

function readConfigFile(path: string, names: readonly OptionName[]): Partial<Record<OptionName, unknown>> {
  let content: unknown;
  try {
    content = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new TriggerError('USAGE', `--config ${path}: ${messageOf(error)}`, { cause: error });
  }
  if (content === null) return {};
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw new TriggerError('USAGE', `--config ${path}: expected a mapping of option names to values`);
  }
  const known = new Map(names.map((name) => [flagName(name), name]));
  const values: Partial<Record<OptionName, unknown>> = {};
  for (const [key, value] of Object.entries(content)) {
    const name = known.get(key);
    if (name === undefined) {
      throw new TriggerError(
        'USAGE',
        `--config ${path}: unknown option ${key}; expected one of ${[...known.keys()].join(', ')}`,
      );
    }
    values[name] = value;
  }
  return values;
}
