#!/usr/bin/env node
/**
 * `nae-trigger VERB`: parses, validates, runs one verb and turns what came of it into an exit code: 0 done,
 * 1 failed while running, 2 refused, 130/143 after SIGINT/SIGTERM once drained and committed.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError, Option } from 'commander';

import { loadSettings } from '../config/load.js';
import { flagName, OPTIONS, type OptionName, type Settings } from '../config/options.js';
import { messageOf, TriggerError } from '../errors.js';
import { optimiseLate } from '../late-optimising.js';
import { createLogger } from '../telemetry/logger.js';
import { redacted } from '../telemetry/redaction.js';
import { PACKAGE_ROOT } from './models.js';
import type { Verb } from './verb.js';
import { benchmarkVerb } from './verbs/benchmark.js';
import { calibrateVerb } from './verbs/calibrate.js';
import { convertVerb } from './verbs/convert.js';
import { deadLetterVerb } from './verbs/dead-letter.js';
import { demoVerb } from './verbs/demo.js';
import { evaluateVerb } from './verbs/evaluate.js';
import { inspectVerb } from './verbs/inspect.js';
import { reloadVerb } from './verbs/reload.js';
import { replayVerb } from './verbs/replay.js';
import { runVerb } from './verbs/run.js';
import { verifyVerb } from './verbs/verify.js';

const VERBS = [
  demoVerb,
  runVerb,
  replayVerb,
  calibrateVerb,
  evaluateVerb,
  benchmarkVerb,
  inspectVerb,
  convertVerb,
  verifyVerb,
  deadLetterVerb,
  reloadVerb,
] as Verb[];
const SIGNAL_EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

function program(): Command {
  const { version } = JSON.parse(readFileSync(join(PACKAGE_ROOT, 'package.json'), 'utf8')) as { version: string };
  const command = new Command('nae-trigger')
    .description('Trigger emulation: scores L1 events with normalized autoencoders and publishes what they accept.')
    .version(version)
    .exitOverride()
    .showHelpAfterError('(nae-trigger VERB --help lists the options)');
  for (const verb of VERBS) {
    const sub = command.command(verb.name).description(verb.summary).exitOverride();
    for (const name of verb.arguments) sub.argument(`<${name.toLowerCase()}>`);
    for (const name of verb.options) sub.addOption(commanderOption(name));
    sub.action(async (...received: unknown[]) => {
      const positional = received.slice(0, verb.arguments.length) as string[];
      process.exitCode = await runVerbWith(verb, positional, sub.opts());
    });
  }
  return command;
}

function commanderOption(name: OptionName): Option {
  const spec = OPTIONS[name];
  const initial: unknown = spec.schema.safeParse(undefined).data;
  const help =
    initial === undefined || initial === false ? spec.help : `${spec.help} (default ${JSON.stringify(initial)})`;
  const option = new Option(`--${flagName(name)}${'value' in spec ? ` <${spec.value}>` : ''}`, help);
  option.attributeName = () => name;
  if ('repeatable' in spec) {
    option.argParser((value: string, previous: string[] | undefined) => [...(previous ?? []), value]);
  }
  return option;
}

async function runVerbWith(
  verb: Verb,
  positional: readonly string[],
  given: Partial<Record<OptionName, unknown>>,
): Promise<number> {
  const stop = new AbortController();
  let signalled: keyof typeof SIGNAL_EXIT_CODES | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    const code = SIGNAL_EXIT_CODES[signal as keyof typeof SIGNAL_EXIT_CODES];
    // The second signal is an order: frames since the last commit will be delivered again.
    if (signalled !== undefined) process.exit(code);
    signalled = signal as keyof typeof SIGNAL_EXIT_CODES;
    stop.abort();
  };
  for (const signal of Object.keys(SIGNAL_EXIT_CODES)) process.on(signal, onSignal);
  try {
    const settings: Settings<OptionName> = loadSettings(verb.options, given);
    await verb.run(settings, positional, {
      log: createLogger(settings.logLevel),
      stop: stop.signal,
      reread: () => loadSettings(verb.options, given),
    });
  } catch (error) {
    if (!(error instanceof TriggerError)) {
      process.stderr.write(
        redacted(`nae-trigger ${verb.name}: ${error instanceof Error ? (error.stack ?? '') : String(error)}\n`),
      );
      return 1;
    }
    process.stderr.write(redacted(`nae-trigger ${verb.name}: ${messageOf(error)}\n`));
    return signalled === undefined ? error.exitCode : SIGNAL_EXIT_CODES[signalled];
  } finally {
    for (const signal of Object.keys(SIGNAL_EXIT_CODES)) process.off(signal, onSignal);
  }
  return signalled === undefined ? 0 : SIGNAL_EXIT_CODES[signalled];
}

optimiseLate();
try {
  await program().parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}
