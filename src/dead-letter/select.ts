/** Which dead letters are meant. */
import type { DeadLetter } from '../event/accepted-event.js';

export interface Selection {
  /** Undefined: any. */
  readonly reasons: readonly string[] | undefined;
  /** The source that the letters name: a topic, or the path of a recording. Undefined: any. */
  readonly source: string | undefined;
}

export function isSelected({ reasons, source }: Selection, letter: DeadLetter): boolean {
  return (reasons?.includes(letter.reason) ?? true) && (source === undefined || source === letter.position.source);
}
