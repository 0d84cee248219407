import { defineConfig } from 'vitest/config';

// Tests import the built output (`#nae/...` is dist/): what is tested is what runs, worker threads included.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/integration/**', 'test/faults/**'],
          testTimeout: 120_000,
        },
      },
      {
        // The same tests as among the units, at length.
        test: {
          name: 'fuzz',
          include: ['test/fuzz/**/*.test.ts'],
          env: {
            FUZZ_FRAMES: process.env.FUZZ_FRAMES ?? '1000000',
            FUZZ_FILES: process.env.FUZZ_FILES ?? '20000',
            FUZZ_DOCUMENTS: process.env.FUZZ_DOCUMENTS ?? '10000',
          },
          testTimeout: 1_800_000,
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          // One broker at a time: two cores.
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'faults',
          include: ['test/faults/**/*.test.ts'],
          testTimeout: 1_800_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
