/**
 * Another menu for a running stream, asked for by SIGHUP or over HTTP. Its models load and are checked in worker threads
 * of their own beside the running ones; then the pipeline takes it over or refuses it (pipeline/menu-change.ts), and the
 * threads of the menu that is not needed end. Threads end with their menu because sessions that are created one after
 * the other in one thread leave memory behind (microsoft/onnxruntime 25325, 26831).
 */
import { parseShadowBand } from '../decide/shadow-comparison.js';
import { messageOf, TriggerError } from '../errors.js';
import type { MenuChangeReport } from '../pipeline/menu-change.js';
import type { Pipeline } from '../pipeline/pipeline.js';
import { pathIdentities, type PathIdentity } from '../pipeline/stream-totals.js';
import type { ScorePool } from '../score/score-pool.js';
import type { Happenings } from '../telemetry/happenings.js';
import { changeOptions, type MenuRequest } from './menu-request.js';

export interface MenuLoader {
  /** What the configuration asks for now. Throws USAGE. */
  configured(): MenuRequest;
  /** Start the workers of a request's menu beside those of the running one. Throws where it cannot be loaded. */
  open(request: MenuRequest, running: ScorePool): Promise<ScorePool>;
}

/** A change of the menu as its pages tell of it. */
type ChangeStatus = { readonly id: number; readonly asked_by: 'signal' | 'http' } & (
  | { readonly state: 'loading'; readonly outcome: 'pending' }
  | { readonly state: 'done'; readonly outcome: 'refused'; readonly reason: string }
  | MenuChangeReport
);

export interface MenuStatus {
  readonly generation: number;
  readonly paths: readonly PathIdentity[];
  /** The change that is on its way. */
  readonly change: ChangeStatus | null;
  /** The one that was on its way last. */
  readonly last: ChangeStatus | null;
}

export class MenuReloads {
  readonly #pipeline: Pipeline;
  readonly #happenings: Happenings;
  readonly #loader: MenuLoader | undefined;
  /** Of the menu that decides. */
  #pool: ScorePool;
  #changing: Promise<void> | undefined;
  #changes = 0;
  #status: (() => ChangeStatus) | undefined;
  #last: ChangeStatus | null = null;
  readonly #onSignal = (): void => {
    try {
      this.#begin(this.#loader!.configured(), 'signal');
    } catch (error) {
      this.#happenings.menuRefused(messageOf(error));
    }
  };

  /** @param loader - undefined: the menu stays */
  constructor(pipeline: Pipeline, pool: ScorePool, happenings: Happenings, loader: MenuLoader | undefined) {
    this.#pipeline = pipeline;
    this.#pool = pool;
    this.#happenings = happenings;
    this.#loader = loader;
    if (loader !== undefined) process.on('SIGHUP', this.#onSignal);
  }

  get status(): MenuStatus {
    return {
      generation: this.#pool.menu.generation,
      paths: pathIdentities(this.#pool.menu),
      change: this.#status?.() ?? null,
      last: this.#last,
    };
  }

  get pool(): ScorePool {
    return this.#pool;
  }

  /**
   * Ask for another menu; returns the number of the change, whose outcome {@link status} tells.
   *
   * @throws TriggerError MENU_BUSY where another change is on its way, USAGE
   */
  request(request: MenuRequest): number {
    return this.#begin(request, 'http');
  }

  /** Give up the change that is on its way; false where there is none, or where it has gone too far. */
  cancel(): boolean {
    return this.#pipeline.change?.cancel() ?? false;
  }

  /** The stream has ended: let a change on its way come to its end, and close the workers. */
  async close(): Promise<void> {
    process.off('SIGHUP', this.#onSignal);
    await this.#changing;
    await this.#pool.close();
  }

  #begin(request: MenuRequest, askedBy: 'signal' | 'http'): number {
    if (this.#changing !== undefined) {
      throw new TriggerError('MENU_BUSY', `change ${this.#changes} of the menu is on its way; one at a time`);
    }
    parseShadowBand(request.shadowBand);
    const id = ++this.#changes;
    const asked = { id, asked_by: askedBy };
    this.#status = () => ({ ...asked, state: 'loading', outcome: 'pending' });
    this.#changing = this.#change(request, asked).finally(() => {
      this.#last = this.#status!();
      this.#status = undefined;
      this.#changing = undefined;
    });
    return id;
  }

  async #change(request: MenuRequest, asked: Pick<ChangeStatus, 'id' | 'asked_by'>): Promise<void> {
    let next: ScorePool;
    try {
      next = await this.#loader!.open(request, this.#pool);
    } catch (error) {
      const reason = messageOf(error);
      this.#happenings.menuRefused(reason);
      this.#status = () => ({ ...asked, state: 'done', outcome: 'refused', reason });
      return;
    }
    const options = changeOptions(request, this.#pool.menu.paths, next.menu.paths);
    const change = this.#pipeline.changeMenu(next, options);
    this.#status = () => ({ ...asked, ...change.report() });
    const former = this.#pool;
    const { outcome } = await change.settled;
    if (outcome === 'taken') this.#pool = next;
    await change.retired;
    await (outcome === 'taken' ? former : next).close();
    // The models of the other menu go with it.
    const report = change.report();
    this.#status = () => ({ ...asked, ...report });
  }
}
