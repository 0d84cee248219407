// Fetches the CUDA provider that matches the installed onnxruntime-node exactly, and the CUDA libraries that it links
// to, from the package index that pip is configured for, and checks all of it: versions, sha256, CUDA major, loadable.
//
//   npm run install:cuda            fetch and check
//   npm run install:cuda -- --check check what is there
//
// Exit 0: everything but the driver is there (the driver is reported); 1: something is missing or is not what it must be.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const RUNTIME_VERSION = '1.30.0';
const CUDA_MAJOR = 13;
/** The first Linux driver for CUDA 13 (CUDA Toolkit release notes, table of driver versions). */
const DRIVER = '580';
const PROVIDERS = {
  'libonnxruntime_providers_shared.so': '086ec1d5388f64153d9c63470d126693db9a182c8ce236d3a1119068471b8a0d',
  'libonnxruntime_providers_cuda.so': '9d7587acb137b31bf84e4d32dc444b969bb601d098b01395effcacfe4341e364',
};
const here = dirname(fileURLToPath(import.meta.url));
const library = join(here, 'lib');

const { values } = parseArgs({
  options: { check: { type: 'boolean', default: false }, providers: { type: 'string' } },
});

function fail(message) {
  console.error(`install:cuda: ${message}`);
  process.exit(1);
}

function run(command, args, env = process.env) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', env });
  return { ok: error === undefined && status === 0, output: `${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}` };
}

/** The folder in which onnxruntime-node looks for providers. */
function providerFolder() {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    fail(`expected linux-x64, received ${process.platform}-${process.arch}: there is no CUDA provider for it`);
  }
  const package_ = createRequire(import.meta.url).resolve('onnxruntime-node/package.json');
  const { version } = JSON.parse(readFileSync(package_, 'utf8'));
  if (version !== RUNTIME_VERSION) {
    fail(`expected onnxruntime-node ${RUNTIME_VERSION}, received ${version}: a mixed pair loads without a check`);
  }
  return values.providers ?? join(dirname(package_), 'bin', 'napi-v6', 'linux', 'x64');
}

function fetchAll(folder) {
  const work = mkdtempSync(join(tmpdir(), 'nae-trigger-cuda-'));
  try {
    const python = process.env.MODELS_PYTHON ?? 'python3';
    console.error('install:cuda: fetching about 0.8 GB with pip');
    const download = run(python, [
      ...['-m', 'pip', 'download', '-q', '--no-deps', '--only-binary', ':all:', '--require-hashes'],
      ...['--implementation', 'cp', '--python-version', '3.11', '--platform', 'manylinux_2_28_x86_64'],
      ...['--platform', 'manylinux_2_27_x86_64', '--platform', 'manylinux2014_x86_64'],
      ...['--platform', 'manylinux1_x86_64', '-r', join(here, 'requirements.txt'), '-d', work],
    ]);
    if (!download.ok) fail(`pip could not fetch the libraries:\n${download.output}`);
    for (const wheel of readdirSync(work).filter((name) => name.endsWith('.whl'))) {
      const unpacked = run(python, ['-m', 'zipfile', '-e', join(work, wheel), join(work, 'unpacked')]);
      if (!unpacked.ok) fail(`${wheel}: cannot be unpacked: ${unpacked.output}`);
    }
    mkdirSync(library, { recursive: true });
    const from = join(work, 'unpacked', 'nvidia', `cu${CUDA_MAJOR}`, 'lib');
    for (const name of readdirSync(from)) copyFileSync(join(from, name), join(library, name));
    for (const name of Object.keys(PROVIDERS)) {
      copyFileSync(join(work, 'unpacked', 'onnxruntime', 'capi', name), join(folder, name));
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function check(folder) {
  for (const [name, expected] of Object.entries(PROVIDERS)) {
    const path = join(folder, name);
    if (!existsSync(path)) fail(`${path}: not there; npm run install:cuda fetches it`);
    const received = createHash('sha256').update(readFileSync(path)).digest('hex');
    if (received !== expected) fail(`${path}: expected sha256 ${expected}, received ${received}`);
  }
  const search = [library, process.env.LD_LIBRARY_PATH].filter((path) => path !== undefined && path !== '').join(':');
  const { ok, output } = run('ldd', [join(folder, 'libonnxruntime_providers_cuda.so')], {
    ...process.env,
    LD_LIBRARY_PATH: search,
  });
  if (!ok) fail(`ldd failed: ${output}`);
  if (!output.includes(`libcudart.so.${CUDA_MAJOR}`)) fail(`expected a provider for CUDA ${CUDA_MAJOR}:\n${output}`);
  const missing = [...output.matchAll(/^\s*(\S+) => not found/gm)].map(([, name]) => name);
  const beyondDriver = missing.filter((name) => name !== 'libcuda.so.1');
  if (beyondDriver.length > 0) fail(`libraries not found: ${beyondDriver.join(', ')}`);
  console.log(`ONNX Runtime ${RUNTIME_VERSION}, CUDA ${CUDA_MAJOR}: providers and libraries are there and match.`);
  console.log(`Start nae-trigger with LD_LIBRARY_PATH=${search}`);
  console.log(
    missing.length > 0
      ? `No NVIDIA driver here (libcuda.so.1): --device cuda needs one of version ${DRIVER} or newer.`
      : `A driver is there; it must be ${DRIVER} or newer. Try: nae-trigger demo --device cuda`,
  );
}

const folder = providerFolder();
if (!values.check) fetchAll(folder);
check(folder);
