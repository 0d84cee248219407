/**
 * Another menu for a running stream. On SIGHUP the models and thresholds are read again and start beside the running
 * ones; only a menu that has loaded and passed its parity sets is taken. Each has worker threads of its own, which end
 * with it: a thread that loaded one ONNX session after the other would grow (microsoft/onnxruntime 25325, 26831).
 */
import { messageOf } from '../errors.js';
import type { Pipeline } from '../pipeline/pipeline.js';
import type { ScorePool } from '../score/score-pool.js';
import type { Happenings } from '../telemetry/happenings.js';

export class MenuReloads {
  readonly #pipeline: Pipeline;
  readonly #happenings: Happenings;
  readonly #reopen: ((generation: number) => Promise<ScorePool>) | undefined;
  #pool: ScorePool;
  #changing: Promise<void> | undefined;
  readonly #onSignal = (): void => {
    if (this.#changing !== undefined) {
      this.#happenings.menuRefused('another menu is on its way');
      return;
    }
    this.#changing = this.#change().finally(() => (this.#changing = undefined));
  };

  /** @param reopen - starts the workers of the menu as it is configured now; undefined: the menu stays */
  constructor(
    pipeline: Pipeline,
    pool: ScorePool,
    happenings: Happenings,
    reopen: ((generation: number) => Promise<ScorePool>) | undefined,
  ) {
    this.#pipeline = pipeline;
    this.#pool = pool;
    this.#happenings = happenings;
    this.#reopen = reopen;
    if (reopen !== undefined) process.on('SIGHUP', this.#onSignal);
  }

  /** Let a change on its way come to its end, and close the workers of the menu that decides then. */
  async close(): Promise<void> {
    process.off('SIGHUP', this.#onSignal);
    await this.#changing;
    await this.#pool.close();
  }

  async #change(): Promise<void> {
    let next: ScorePool;
    try {
      next = await this.#reopen!(this.#pool.menu.generation + 1);
    } catch (error) {
      this.#happenings.menuRefused(messageOf(error));
      return;
    }
    const former = this.#pool;
    this.#pool = next;
    try {
      await this.#pipeline.takeMenu(next);
    } catch {
      // The stream has failed, which its run says.
    }
    await former.close();
  }
}
