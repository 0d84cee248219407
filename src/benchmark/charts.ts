/** Charts of the report as SVG, readable on white paper. */

export interface Series {
  readonly label: string;
  /** Numbers of colour and of line style. */
  readonly colour: number;
  readonly style: number;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

interface LineChart {
  /** Title of the x axis, which runs from 0 to 1. */
  readonly x: string;
  /** How a value of y and of x is written. */
  readonly unit: (value: number) => string;
  readonly tick: (value: number) => string;
  readonly series: readonly Series[];
}

interface BarChart {
  readonly title: string;
  readonly unit: (value: number) => string;
  readonly logarithmic: boolean;
  readonly groups: readonly {
    readonly label: string;
    readonly bars: readonly { readonly label: string; readonly value: number }[];
  }[];
  /** Lines across all bars. */
  readonly marks: readonly { readonly label: string; readonly value: number }[];
}

const COLOURS = ['#0b6fb5', '#c8501e', '#2f8f4e', '#7a4fb0', '#8a6d1f', '#5b6670'];
const DASHES = ['', '7 4', '2 3'];
const WIDTH = 720;
const INK = '#22272e';
const FAINT = '#d7dce1';

/** y over x, y logarithmic. */
export function lines({ x: title, unit, tick, series }: LineChart): string {
  const points = series.flatMap((one) => one.points);
  const decades = {
    low: Math.floor(Math.log10(Math.min(...points.map(({ y }) => y)))),
    high: Math.ceil(Math.log10(Math.max(...points.map(({ y }) => y)))),
  };
  const area = { left: 76, right: WIDTH - 200, top: 16, bottom: 316 };
  const xOf = (value: number): number => area.left + value * (area.right - area.left);
  const yOf = (value: number): number =>
    area.bottom -
    ((Math.log10(value) - decades.low) / Math.max(1, decades.high - decades.low)) * (area.bottom - area.top);
  const grid: string[] = [];
  for (let decade = decades.low; decade <= decades.high; decade++) {
    const y = yOf(10 ** decade);
    grid.push(line(area.left, y, area.right, y, FAINT), label(area.left - 8, y + 4, unit(10 ** decade), 'end'));
  }
  for (const value of [...new Set(points.map((point) => point.x))].sort((a, b) => a - b)) {
    // 20 and 25 % stand too near one another.
    if (points.some(({ x }) => x > value && x - value < 0.06)) continue;
    grid.push(label(xOf(value), area.bottom + 20, tick(value), 'middle'));
  }
  grid.push(label((area.left + area.right) / 2, area.bottom + 42, title, 'middle'));
  const drawn = series.map(({ label: name, colour, style, points: of }, at) => {
    const stroke = `stroke="${COLOURS[colour % COLOURS.length]!}" stroke-width="2" stroke-dasharray="${DASHES[style % DASHES.length]!}"`;
    const path = of.map(({ x, y }) => `${xOf(x).toFixed(1)},${yOf(y).toFixed(1)}`).join(' ');
    const dots = of.map(
      ({ x, y }) =>
        `<circle cx="${xOf(x).toFixed(1)}" cy="${yOf(y).toFixed(1)}" r="2.5" fill="${COLOURS[colour % COLOURS.length]!}"/>`,
    );
    const key = area.top + 8 + 20 * at;
    return (
      `<polyline points="${path}" fill="none" ${stroke}/>${dots.join('')}` +
      `<line x1="${area.right + 14}" x2="${area.right + 44}" y1="${key}" y2="${key}" ${stroke}/>` +
      label(area.right + 50, key + 4, name, 'start')
    );
  });
  return svg(area.bottom + 54, [...grid, ...drawn]);
}

/** Horizontal bars in groups. */
export function bars({ title, unit, logarithmic, groups, marks }: BarChart): string {
  const values = [...groups.flatMap((group) => group.bars), ...marks].map(({ value }) => value);
  const high = Math.max(...values);
  const low = logarithmic ? 10 ** Math.floor(Math.log10(Math.min(...values)) - 0.3) : 0;
  const area = { left: 190, right: WIDTH - 90, top: 34 };
  const xOf = (value: number): number => {
    const part = logarithmic ? Math.log(Math.max(value, low) / low) / Math.log(high / low) : value / high;
    return area.left + part * (area.right - area.left);
  };
  const drawn: string[] = [];
  let y = area.top;
  for (const { label: name, bars: of } of groups) {
    drawn.push(`<g font-weight="600">${label(8, y + 13, name, 'start')}</g>`);
    y += 22;
    for (const [at, { label: what, value }] of of.entries()) {
      const width = Math.max(1, xOf(value) - area.left).toFixed(1);
      drawn.push(
        label(area.left - 8, y + 12, what, 'end'),
        `<rect x="${area.left}" y="${y}" width="${width}" height="16" rx="2" fill="${COLOURS[at % COLOURS.length]!}"/>`,
        label(xOf(value) + 6, y + 12, unit(value), 'start'),
      );
      y += 22;
    }
    y += 8;
  }
  const across = marks.map(({ label: name, value }, at) => {
    const x = xOf(value);
    return line(x, area.top - 4, x, y, INK, '4 3') + label(x, at % 2 === 0 ? y + 12 : y + 26, name, 'middle');
  });
  return svg(y + (marks.length > 0 ? 36 : 4), [label(area.left, 18, title, 'start'), ...drawn, ...across]);
}

function svg(height: number, parts: readonly string[]): string {
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="${INK}">` +
    `<rect width="${WIDTH}" height="${height}" fill="white"/>${parts.join('')}</svg>\n`
  );
}

function line(x1: number, y1: number, x2: number, y2: number, stroke: string, dash = ''): string {
  const [a, b, c, d] = [x1, y1, x2, y2].map((value) => value.toFixed(1));
  return `<line x1="${a!}" y1="${b!}" x2="${c!}" y2="${d!}" stroke="${stroke}" stroke-dasharray="${dash}"/>`;
}

function label(x: number, y: number, content: string, anchor: 'start' | 'middle' | 'end'): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escaped(content)}</text>`;
}

export function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
