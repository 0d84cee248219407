/**
 * How soon V8 optimises what it runs. Node.js 20 does it so eagerly that a process spends 0.3 to 0.7 s of CPU time on
 * hundreds of functions that matter little beside inference (bench/README.md); later releases have a tier between.
 */
import { setFlagsFromString } from 'node:v8';

/** Bytes of bytecode that a function runs before V8 considers it; by default 67,584. With more, streams stay slow for longer. */
const INTERRUPT_BUDGET_BYTES = 200_000;

/** Have V8 optimise later, in all threads of the process. Before anything runs for long. */
export function optimiseLate(): void {
  // Newer versions count calls instead, and complain of a flag that they do not know.
  if (process.versions.v8.startsWith('11.')) setFlagsFromString(`--interrupt-budget=${INTERRUPT_BUDGET_BYTES}`);
}
