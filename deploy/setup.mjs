// Makes the checkout ready to run: installs the locked packages and builds dist/, each only where it is due.
// Plain Node without packages, because nothing is installed yet when it first runs.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`nae-trigger needs Node 20.19 or newer, this is ${process.versions.node}`);
  process.exit(2);
}

const digestOf = (paths) => {
  const hash = createHash('sha256');
  for (const path of paths.sort()) hash.update(path).update('\0').update(readFileSync(path)).update('\0');
  return hash.digest('hex');
};
const filesBelow = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !path.includes(join('event', 'generated')));

/** Run `command` unless the stamp says that it was run for these very inputs. */
const due = (stamp, output, inputs, title, command) => {
  const digest = `${process.versions.modules} ${digestOf(inputs)}`;
  if (existsSync(output) && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return;
  console.error(`nae-trigger: ${title}`);
  const { status, error } = spawnSync(command[0], command.slice(1), {
    // stdout belongs to the result of what is run after this
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, digest);
};

due('node_modules/.cache/installed', 'node_modules', ['package-lock.json', '.npmrc'], 'installing packages (npm ci)', [
  'npm',
  'ci',
  '--no-fund',
  '--no-audit',
]);
due(
  'node_modules/.cache/built',
  'dist/cli/main.js',
  [...filesBelow('src'), ...filesBelow('proto'), 'tsconfig.json', 'deploy/build.mjs', 'package-lock.json'],
  'building',
  ['npm', 'run', '--silent', 'build'],
);
