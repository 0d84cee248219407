/**
 * Two models in a row: the student scores all events of an inference call, the teacher those that the student does not
 * reject. What the teacher says of them is what it would have said without a student.
 */
import { VALUES_PER_EVENT } from '../../event/layout.js';
import type { InputRows, ModelSession } from '../../model/session.js';
import { REJECTED_SCORE } from '../messages.js';

/** What gives the events of an inference call their scores. */
export interface Scorer {
  /** float32 [rows], of the last {@link run}. */
  readonly scores: Float32Array;
  /** @param faults - code per event; what an event that has one is given for a score means nothing */
  run(events: number, faults: Uint8Array): Promise<void>;
}

/** Rows of the teacher's sessions: about as many events as reach it of a thousand. */
export const TEACHER_ROWS = 16;

export class Cascade implements Scorer {
  readonly scores: Float32Array;
  readonly #student: ModelSession;
  readonly #cut: number;
  readonly #teacher: ModelSession;
  readonly #inputs: InputRows;
  readonly #survivors: Uint32Array;
  #rejected = 0;

  /**
   * @param student - its rows are those of an inference call
   * @param cut - float32; the student rejects what it scores below it
   * @param teacher - of {@link TEACHER_ROWS} rows
   * @param inputs - where the events of an inference call lie, in the teacher's layout
   */
  constructor(student: ModelSession, cut: number, teacher: ModelSession, inputs: InputRows) {
    this.scores = new Float32Array(student.scores.length);
    this.#student = student;
    this.#cut = cut;
    this.#teacher = teacher;
    this.#inputs = inputs;
    this.#survivors = new Uint32Array(student.scores.length);
  }

  async run(events: number, faults: Uint8Array): Promise<void> {
    const { scores } = this;
    await this.#student.run(events);
    scores.fill(REJECTED_SCORE);
    const survivors = this.#survivors.subarray(0, this.#select(events, faults));
    for (let first = 0; first < survivors.length; first += TEACHER_ROWS) {
      const chosen = survivors.subarray(first, first + TEACHER_ROWS);
      const { input } = this.#teacher;
      for (const [at, row] of chosen.entries()) {
        const values = this.#inputs.subarray(row * VALUES_PER_EVENT, (row + 1) * VALUES_PER_EVENT);
        input.set(values, at * VALUES_PER_EVENT);
      }
      input.fill(0, chosen.length * VALUES_PER_EVENT);
      await this.#teacher.run();
      for (const [at, row] of chosen.entries()) scores[row] = this.#teacher.scores[at]!;
    }
  }

  /** Sound events that the student rejected since the last call. */
  takeRejected(): number {
    const rejected = this.#rejected;
    this.#rejected = 0;
    return rejected;
  }

  /** Note the rows that the teacher is to score, ascending; returns how many. */
  #select(events: number, faults: Uint8Array): number {
    const { scores } = this.#student;
    let count = 0;
    for (let row = 0; row < events; row++) {
      if (faults[row] !== 0) continue;
      // A score that is not finite rejects nothing: the teacher sees the event.
      if (scores[row]! < this.#cut) this.#rejected++;
      else this.#survivors[count++] = row;
    }
    return count;
  }
}
