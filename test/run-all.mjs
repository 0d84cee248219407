// `npm test`: static checks, unit, property and integration tests, and the tests of the models package. Ends with
// the one line `N passed, N failed`, summed over all runners; a static check counts as one test.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

const results = mkdtempSync(join(tmpdir(), 'nae-trigger-test-'));
const totals = { passed: 0, failed: 0 };
/** What failed, to be named once more at the end: a log that is cut to its end still says it. */
const failures = [];

const run = (title, command, count) => {
  console.log(`\n== ${title}`);
  const began = Date.now();
  const { status } = spawnSync(command[0], command.slice(1), { stdio: 'inherit', shell: process.platform === 'win32' });
  const counted = count?.() ?? { passed: status === 0 ? 1 : 0, failed: status === 0 ? 0 : 1, failures: [] };
  // A runner that fails without a failed test (a crash, an error outside of tests) is a failure of its own.
  if (status !== 0 && counted.failed === 0) counted.failed = 1;
  totals.passed += counted.passed;
  totals.failed += counted.failed;
  const named = counted.failures.length > 0 ? counted.failures : [`ended with ${status}, outside of a test`];
  if (counted.failed > 0) failures.push(...named.map((failure) => `${title}: ${failure}`));
  const seconds = ((Date.now() - began) / 1000).toFixed(0);
  console.log(`== ${title}: ${counted.passed} passed, ${counted.failed} failed in ${seconds} s`);
};

const noReport = { passed: 0, failed: 1, failures: [] };

const vitestCounts = (file) => () => {
  if (!existsSync(file)) return noReport;
  const { numPassedTests, testResults } = JSON.parse(readFileSync(file, 'utf8'));
  const failures = testResults.flatMap(({ name, message, assertionResults }) => {
    const failed = assertionResults.filter((test) => test.status === 'failed');
    const where = relative(process.cwd(), name);
    // A file that could not be loaded has no tests to name.
    if (failed.length === 0) return message ? [`${where}\n${message}`] : [];
    return failed.map((test) => `${where}: ${test.fullName}\n${test.failureMessages.join('\n')}`);
  });
  return { passed: numPassedTests, failed: failures.length, failures };
};

const pytestCounts = (file) => () => {
  if (!existsSync(file)) return noReport;
  const report = readFileSync(file, 'utf8');
  const suite = report.match(/<testsuite [^>]*>/)?.[0] ?? '';
  const number = (name) => Number(suite.match(new RegExp(` ${name}="(\\d+)"`))?.[1] ?? 0);
  const failed = number('failures') + number('errors');
  const failures = [
    ...report.matchAll(/<testcase classname="([^"]*)" name="([^"]*)"[^>]*>\s*<(?:failure|error) message="([^"]*)"/g),
  ];
  return {
    passed: number('tests') - failed - number('skipped'),
    failed,
    failures: failures.map(([, module, test, message]) => `${module}.${test}\n${message}`),
  };
};

const vitest = (project) => {
  const file = join(results, `${project}.json`);
  run(
    `${project} tests`,
    [
      'npx',
      '--no-install',
      'vitest',
      'run',
      '--project',
      project,
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${file}`,
    ],
    vitestCounts(file),
  );
};

try {
  run('lint', ['npx', '--no-install', 'eslint', '.']);
  run('format', ['npx', '--no-install', 'prettier', '--check', '--log-level', 'warn', '.']);
  run('dead code', ['npx', '--no-install', 'knip']);
  run('types of the tests', ['npx', '--no-install', 'tsc', '-p', 'test']);
  run('types of the benchmarks', ['npx', '--no-install', 'tsc', '-p', 'bench', '--noEmit']);
  run('lint and types of models', ['models/run', 'lint']);
  vitest('unit');
  vitest('integration');
  vitest('faults');
  const pytest = join(results, 'pytest.xml');
  run('models tests', ['models/run', 'test', `--junitxml=${pytest}`], pytestCounts(pytest));
} finally {
  rmSync(results, { recursive: true, force: true });
}
const heads = failures.map((failure) => failure.split('\n').slice(0, 12).join('\n'));
if (heads.length > 0) console.log(`\n== failed\n${heads.join('\n')}`);
console.log(`\n${totals.passed} passed, ${totals.failed} failed`);
process.exitCode = totals.failed === 0 ? 0 : 1;
