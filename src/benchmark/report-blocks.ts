/** What the 40 MHz report is made of: its blocks, and how its numbers are written. */
import type { Quantiles, StageQuantiles } from './latency-probe.js';
import type { Spread } from './timing.js';

export type Block =
  | { readonly kind: 'heading'; readonly text: string }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'list'; readonly items: readonly string[] }
  | { readonly kind: 'table'; readonly head: readonly string[]; readonly rows: readonly (readonly string[])[] }
  | { readonly kind: 'figure'; readonly file: string; readonly caption: string; readonly svg: string };

export interface ReportDocument {
  readonly title: string;
  readonly blocks: readonly Block[];
}

export function stageTable(columns: readonly { readonly label: string; readonly stages: StageQuantiles }[]): Block {
  const rows = Object.entries(STAGE_NAMES).flatMap(([stage, name]) => {
    const cells = columns.map(({ stages }) => stages[stage as keyof StageQuantiles]);
    if (cells.every((cell) => cell === undefined)) return [];
    return [
      [
        name,
        ...cells.map((cell) => (cell === undefined ? '' : `${milliseconds(cell.p50)} / ${milliseconds(cell.p99)}`)),
      ],
    ];
  });
  return { kind: 'table', head: ['part', ...columns.map(({ label }) => label)], rows };
}

const STAGE_NAMES: Readonly<Record<keyof StageQuantiles, string>> = {
  arrival: 'due to being in the stream',
  queue: 'to the worker and back',
  unpack: 'unpack',
  infer: 'infer',
  decide: 'decide',
  decision: '**due to decision**',
  write: 'write',
  written: '**due to accepted event written**',
};

export function heading(text: string): Block {
  return { kind: 'heading', text };
}

export function text(text: string): Block {
  return { kind: 'text', text };
}

export function quantileCells({ p50, p99, p999, p9999 }: Quantiles): string[] {
  return [p50, p99, p999, p9999].map(milliseconds);
}

export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

export function millions(value: number): string {
  return `${(value / 1e6).toPrecision(value >= 1e7 ? 4 : 3)} M`;
}

export function percent(fraction: number): string {
  return `${Number((fraction * 100).toPrecision(3))} %`;
}

export function nanoseconds(value: number | undefined): string {
  return value === undefined ? '' : value.toFixed(0);
}

export function milliseconds(seconds: number): string {
  return `${Number((seconds * 1000).toPrecision(3))} ms`;
}

export function range({ median, low, high }: Spread): string {
  return `${median.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
}
