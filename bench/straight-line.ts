/** Straight lines through samples that are not independent of one another. */

export interface Line {
  readonly mean: number;
  /** Per unit of x, with half the width of its 95 % interval. */
  readonly slope: number;
  readonly error: number;
}

/** Samples next to one another share the garbage that is not collected yet, so lines are fitted to means of blocks. */
const BLOCKS = 20;
/** 97.5 % point of Student's t with 18 degrees of freedom (any table). */
const STUDENT_T = 2.101;

/** Least squares through the means of {@link BLOCKS} equal blocks; x and y in order of x, at least as many as blocks. */
export function fitLine(x: readonly number[], y: readonly number[]): Line {
  if (x.length < BLOCKS) throw new Error(`expected at least ${BLOCKS} samples, received ${x.length}`);
  const blocks = Array.from({ length: BLOCKS }, (_, block) => {
    const [from, to] = [block, block + 1].map((at) => Math.round((at * x.length) / BLOCKS));
    return { x: mean(x.slice(from, to)), y: mean(y.slice(from, to)) };
  });
  const [meanX, meanY] = [mean(blocks.map((block) => block.x)), mean(blocks.map((block) => block.y))];
  const spread = sum(blocks.map((block) => (block.x - meanX) ** 2));
  const slope = sum(blocks.map((block) => (block.x - meanX) * (block.y - meanY))) / spread;
  const residual = sum(blocks.map((block) => (block.y - meanY - slope * (block.x - meanX)) ** 2));
  return { mean: meanY, slope, error: STUDENT_T * Math.sqrt(residual / (BLOCKS - 2) / spread) };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}
