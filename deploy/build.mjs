// Builds dist/: protobuf code from proto/, TypeScript, WebAssembly. Node only, so that it runs wherever npm does.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';

import loadWabt from 'wabt';

const run = (command, args) => {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit', shell: process.platform === 'win32' });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
};

mkdirSync('src/event/generated', { recursive: true });
run('npm', ['run', '--silent', 'generate']);
run('npx', ['--no-install', 'tsc', '-p', 'tsconfig.json']);
cpSync('src/event/generated', 'dist/event/generated', { recursive: true });

const wabt = await loadWabt();
const source = 'src/event/unpack-words.wat';
const module = wabt.parseWat(source, readFileSync(source, 'utf8'), { simd: true });
module.validate();
writeFileSync('dist/event/unpack-words.wasm', module.toBinary({}).buffer);
module.destroy();

chmodSync('dist/cli/main.js', 0o755);
