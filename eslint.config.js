import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

// Who may import whom, by folder of src/. Stages never import one another: only pipeline/ wires them, only cli/
// builds pipelines. A folder may always import from itself.
const foundations = ['event', 'errors', 'telemetry', 'model'];
const mayImport = {
  event: [],
  memory: [],
  telemetry: ['errors', 'event'],
  model: ['errors', 'event'],
  config: ['errors', 'telemetry', 'event'],
  recording: ['errors', 'event', 'memory'],
  source: [...foundations, 'recording', 'kafka', 'memory'],
  sink: [...foundations, 'recording', 'kafka', 'ledger'],
  ledger: ['errors', 'event'],
  kafka: ['errors', 'telemetry', 'memory'],
  score: [...foundations],
  decide: [...foundations],
  broker: ['errors', 'telemetry', 'kafka'],
  replay: ['errors', 'event', 'telemetry', 'kafka'],
  'dead-letter': ['errors', 'event', 'telemetry', 'kafka'],
  pipeline: [...foundations, 'source', 'score', 'decide', 'sink', 'ledger'],
  sample: ['errors'],
  calibrate: [...foundations, 'decide'],
  evaluate: [...foundations, 'decide', 'sample'],
  benchmark: [
    ...foundations,
    ...['config', 'source', 'sink', 'score', 'pipeline', 'recording', 'kafka', 'replay', 'broker'],
  ],
};
const folders = [...Object.keys(mayImport), 'cli'];

const directionRules = Object.entries(mayImport).map(([folder, allowed]) => ({
  files: [`src/${folder}/**/*.ts`],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: folders
          .filter((other) => other !== folder && !allowed.includes(other))
          .map((other) => ({
            regex: `^(\\.\\./)+${other}/`,
            message: `src/${folder} must not import src/${other} (see ARCHITECTURE.md, import direction).`,
          })),
      },
    ],
  },
}));

export default defineConfig(
  globalIgnores(['dist/', 'dist-bench/', 'src/event/generated/', 'coverage/', 'models/', 'node_modules/']),
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['vitest.config.ts'] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      // Hot loops index typed arrays: `!` there says that the bound is the loop's.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/consistent-type-imports': 'error',
    },
  },
  {
    // The generated declarations bring their own enum and a CommonJS Long; this is where they become ours.
    files: ['src/event/frame.ts', 'src/event/accepted-event.ts'],
    rules: {
      '@typescript-eslint/no-unsafe-enum-assignment': 'off',
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
    },
  },
  ...directionRules,
  {
    files: ['src/score/worker/**/*.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: '^(\\.\\./)+(?!event/|model/|errors|messages)[a-z]',
              message: 'Worker code imports event, model, errors and score/messages alone.',
            },
          ],
        },
      ],
    },
  },
  {
    files: ['**/*.{js,mjs}'],
    languageOptions: { globals: { process: 'readonly', console: 'readonly', URL: 'readonly', setTimeout: 'readonly' } },
  },
);
