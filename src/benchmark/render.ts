/** The report's document as Markdown and as one HTML page that needs nothing else. */
import { escaped } from './charts.js';
import type { Block, ReportDocument } from './report-blocks.js';

type Figure = Extract<Block, { kind: 'figure' }>;

export function figuresOf({ blocks }: ReportDocument): Figure[] {
  return blocks.filter((block) => block.kind === 'figure');
}

export function asMarkdown({ title, blocks }: ReportDocument): string {
  const parts = blocks.map((block): string => {
    switch (block.kind) {
      case 'heading':
        return `## ${block.text}`;
      case 'text':
        return block.text;
      case 'list':
        return block.items.map((item) => `- ${item}`).join('\n');
      case 'table': {
        const rule = block.head.map((_, at) => (at === 0 ? '---' : '---:'));
        return [block.head, rule, ...block.rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
      }
      case 'figure':
        return `![${block.caption}](${block.file})`;
    }
  });
  return `${[`# ${title}`, ...parts].join('\n\n')}\n`;
}

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; color: #22272e; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #d7dce1; padding-bottom: .2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #e6e9ec; }
td { white-space: nowrap; }
th { background: #f4f6f8; vertical-align: bottom; } th:first-child, td:first-child { text-align: left; }
tbody tr:hover { background: #f8fafb; }
figure { margin: 1rem 0; max-width: 46rem; } figcaption { font-size: .88rem; color: #57606a; }
code { background: #f4f6f8; padding: 0 .25em; }
@media print { body { max-width: none; margin: 0; } h2 { break-after: avoid; } table, figure { break-inside: avoid; } }
`;

export function asHtml({ title, blocks }: ReportDocument): string {
  const parts = blocks.map((block): string => {
    switch (block.kind) {
      case 'heading':
        return `<h2>${inline(block.text)}</h2>`;
      case 'text':
        return `<p>${inline(block.text)}</p>`;
      case 'list':
        return `<ul>${block.items.map((item) => `<li>${inline(item)}</li>`).join('')}</ul>`;
      case 'table': {
        const head = block.head.map((cell) => `<th>${inline(cell)}</th>`).join('');
        const body = block.rows.map((cells) => `<tr>${cells.map((cell) => `<td>${inline(cell)}</td>`).join('')}</tr>`);
        return `<div class="wide"><table><thead><tr>${head}</tr></thead><tbody>${body.join('')}</tbody></table></div>`;
      }
      case 'figure':
        return `<figure>${block.svg}<figcaption>${inline(block.caption)}</figcaption></figure>`;
    }
  });
  return [
    '<!doctype html>',
    `<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(title)}</title>`,
    `<style>${STYLE}</style></head><body>`,
    `<h1>${escaped(title)}</h1>`,
    ...parts,
    '</body></html>\n',
  ].join('\n');
}

/** The two marks that the document uses: **strong** and \`code\`. */
function inline(content: string): string {
  return escaped(content)
    .replaceAll(/\*\*(.+?)\*\*/g, '<strong>$1</strong>')
    .replaceAll(/`(.+?)`/g, '<code>$1</code>');
}
