/**
 * Progress on a terminal's stderr; silent elsewhere.
 */
import { SingleBar, Presets } from 'cli-progress';

export interface Progress {
  stop(): void;
}

const REFRESH_MS = 100;

/**
 * Show a bar until it is stopped.
 *
 * @param state - how far it is; `note` is shown behind the bar
 */
export function progressOf(title: string, state: () => { done: number; total: number; note?: string }): Progress {
  if (!process.stderr.isTTY) return { stop: () => undefined };
  const bar = new SingleBar(
    {
      format: `${title} {bar} {percentage} % {note}`,
      stream: process.stderr,
      hideCursor: true,
      clearOnComplete: true,
      stopOnComplete: false,
    },
    Presets.shades_classic,
  );
  const update = (): void => {
    const { done, total, note } = state();
    bar.setTotal(Math.max(total, 1));
    bar.update(Math.min(done, total), { note: note ?? '' });
  };
  bar.start(1, 0, { note: '' });
  const timer = setInterval(update, REFRESH_MS);
  return {
    stop: () => {
      clearInterval(timer);
      update();
      bar.stop();
    },
  };
}
