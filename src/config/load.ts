/**
 * From words and files to validated settings.
 */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { z } from 'zod';

import { messageOf, TriggerError } from '../errors.js';
import { flagName, OPTIONS, type OptionName, type Settings } from './options.js';

/** Values of a repeatable option that a document may hold. */
const MAX_LIST = 64;

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
  return namedOptions(content, names, `--config ${path}`);
}

/**
 * Settings from a document that somebody sent: an object of option names and values.
 *
 * @throws TriggerError USAGE naming `place`, the option, what was expected and what came
 */
export function settingsOf<Names extends OptionName>(
  names: readonly Names[],
  document: unknown,
  place: string,
): Settings<Names> {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw new TriggerError('USAGE', `${place}: expected an object of option names and values`);
  }
  const values = namedOptions(document, names, place);
  const settings: Partial<Record<OptionName, unknown>> = {};
  for (const name of names) {
    const value = values[name];
    // What schemas make of words on a command line must not make a 0 of null or of an empty list.
    if (value !== undefined && !isPlain(value)) {
      throw new TriggerError('USAGE', `${place}: ${flagName(name)}: expected a text, a number or a list of them`);
    }
    const parsed = OPTIONS[name].schema.safeParse(value);
    if (!parsed.success) throw new TriggerError('USAGE', `${place}: ${flagName(name)}: ${firstIssue(parsed.error)}`);
    settings[name] = parsed.data;
  }
  return settings as Settings<Names>;
}

/** Whether a value is a text, a number, a switch, or a short list of texts and numbers. */
function isPlain(value: unknown): boolean {
  if (Array.isArray(value))
    return value.length > 0 && value.length <= MAX_LIST && value.every((one) => isPlain(one) && !Array.isArray(one));
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}

function namedOptions(
  content: object,
  names: readonly OptionName[],
  place: string,
): Partial<Record<OptionName, unknown>> {
  const known = new Map(names.map((name) => [flagName(name), name]));
  const values: Partial<Record<OptionName, unknown>> = {};
  for (const [key, value] of Object.entries(content)) {
    const name = known.get(key);
    if (name === undefined) {
      throw new TriggerError(
        'USAGE',
        `${place}: unknown option ${key.slice(0, 100)}; expected one of ${[...known.keys()].join(', ')}`,
      );
    }
    values[name] = value;
  }
  return values;
}
