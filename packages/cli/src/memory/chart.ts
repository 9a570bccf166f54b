/**
 * A picture of the memory over a training step: x is the step of the program, y the address in
 * the arena. Every tensor is a rectangle, as wide as it lives and as high as it is large;
 * hovering names it.
 */
import { megabytes, plannedBytes, type Program, type SlotRole } from '@thimble/core';
import { trainingTenants, type MemoryMap, type Tenant } from './map.js';
import { element, escapeText, ticks } from '../pictures/svg.js';

export interface ChartOptions {
  readonly title: string;
  readonly threads: number;
}

interface Group {
  readonly name: string;
  readonly colour: string;
}

const GROUPS = {
  weights: { name: 'weights', colour: '#33517e' },
  state: { name: 'optimiser state', colour: '#7d9bc4' },
  saved: { name: 'saved for backward', colour: '#e8963e' },
  gradient: { name: 'gradients', colour: '#c0392b' },
  temporary: { name: 'temporary', colour: '#7fb07a' },
  workspace: { name: 'workspace and scratch', colour: '#a9a9b0' },
  io: { name: 'inputs and outputs', colour: '#a486b8' },
} as const satisfies Record<string, Group>;

const GROUP_OF: { readonly [R in SlotRole]: keyof typeof GROUPS } = {
  parameter: 'weights',
  buffer: 'weights',
  constant: 'weights',
  table: 'weights',
  state: 'state',
  saved: 'saved',
  gradient: 'gradient',
  temporary: 'temporary',
  workspace: 'workspace',
  input: 'io',
  output: 'io',
};

const WIDTH = 1080;
const HEIGHT = 640;
const MARGIN = { left: 78, right: 28, top: 92, bottom: 62 };
const INK = '#24292f';
const PALE = '#6b7280';
const FONT = 'system-ui, -apple-system, Segoe UI, Helvetica, DejaVu Sans, sans-serif';
/** Room above the peak line, as a share of the peak. */
const HEADROOM = 0.06;
/** Of a character at 11 px, for deciding whether a name fits into its rectangle. */
const CHARACTER_WIDTH = 6.4;

interface Scales {
  readonly x: (step: number) => number;
  readonly y: (bytes: number) => number;
  readonly peak: number;
}

/** The chart as an SVG document. */
export function memoryChart(program: Program, options: ChartOptions): string {
  const map = trainingTenants(program);
  const peak = plannedBytes(program, options.threads);
  const inner = { width: WIDTH - MARGIN.left - MARGIN.right, bottom: HEIGHT - MARGIN.bottom };
  const scales: Scales = {
    x: (step) => MARGIN.left + (step / map.steps) * inner.width,
    y: (bytes) => inner.bottom - (bytes / (peak * (1 + HEADROOM))) * (inner.bottom - MARGIN.top),
    peak,
  };
  const standing = bands(map, scales);
  const box = `0 0 ${String(WIDTH)} ${String(HEIGHT)}`;
  return element(
    'svg',
    {
      xmlns: 'http://www.w3.org/2000/svg',
      viewBox: box,
      width: WIDTH,
      height: HEIGHT,
      'font-family': FONT,
    },
    element('rect', { width: WIDTH, height: HEIGHT, fill: '#ffffff' }),
    heading(options, peak),
    legend(),
    grid(scales, map),
    ...standing.map(({ area }) => area),
    ...tenants(map, scales),
    ...standing.map(({ named }) => named),
    scratch(program, options.threads, scales, map),
    axes(scales, map),
    peakLine(scales, map),
  );
}

function heading({ title, threads }: ChartOptions, peak: number): string {
  const threadText = threads === 1 ? '1 thread' : `${String(threads)} threads`;
  return (
    label(MARGIN.left, 32, `Memory of one training step: ${title}`, { size: 18, weight: 600 }) +
    label(
      MARGIN.left,
      52,
      `${megabytes(peak)} planned with ${threadText}; every byte has its place`,
      {
        colour: PALE,
        size: 13,
      },
    )
  );
}

function legend(): string {
  let x = MARGIN.left;
  return Object.values(GROUPS)
    .map(({ name, colour }) => {
      const item =
        element('rect', { x, y: 66, width: 12, height: 12, rx: 2, fill: colour }) +
        label(x + 17, 76, name, { size: 12 });
      x += 17 + name.length * 6.6 + 20;
      return item;
    })
    .join('');
}

function grid({ y, peak, x }: Scales, map: MemoryMap): string {
  return ticks(peak / 1e6, 6)
    .map((value) => {
      const at = y(value * 1e6);
      const line = { x1: x(0), x2: x(map.steps), y1: at, y2: at, stroke: '#e5e7eb' };
      return (
        element('line', line) + label(x(0) - 8, at + 4, String(round(value)), { anchor: 'end' })
      );
    })
    .join('');
}

function round(value: number): number {
  return Number(value.toPrecision(6));
}

interface Band {
  readonly area: string;
  /** Goes on top of the tensors; empty where it does not fit. */
  readonly named: string;
}

/**
 * One area behind each run of neighbouring tensors that are always there and of one group:
 * hundreds of thin rectangles alone would let the paper shine through.
 */
function bands(map: MemoryMap, { x, y }: Scales): readonly Band[] {
  const runs: { group: Group; begin: number; end: number }[] = [];
  const always = map.tenants.filter((tenant) => tenant.always);
  for (const { role, offset, bytes } of [...always].sort((a, b) => a.offset - b.offset)) {
    const group = GROUPS[GROUP_OF[role]];
    const last = runs.at(-1);
    if (last?.group === group) last.end = offset + bytes;
    else runs.push({ group, begin: offset, end: offset + bytes });
  }
  return runs.map(({ group, begin, end }) => {
    const height = y(begin) - y(end);
    const area = { x: x(0), y: y(end), width: x(map.steps) - x(0), height };
    const text = `${group.name} ${megabytes(end - begin)}`;
    const named =
      height >= 16 ? label(x(0) + 8, y(end) + height / 2 + 4, text, { colour: '#ffffff' }) : '';
    return { area: element('rect', { ...area, fill: group.colour }), named };
  });
}

/** Small ones last, so that they stay visible where rounding makes rectangles touch. */
function tenants(map: MemoryMap, scales: Scales): readonly string[] {
  const ordered = [...map.tenants]
    .filter(({ bytes }) => bytes > 0)
    .sort((a, b) => b.bytes - a.bytes);
  return ordered.map((tenant) => rectangle(tenant, scales));
}

function rectangle(tenant: Tenant, { x, y }: Scales): string {
  const { name, role, shape, offset, bytes, first, last, always } = tenant;
  const left = x(first);
  const top = y(offset + bytes);
  const width = x(last + 1) - left;
  const height = y(offset) - top;
  const stay = always ? 'always there' : `steps ${String(first)} to ${String(last)}`;
  const title = `${name} [${shape.join(', ')}], ${role}, ${megabytes(bytes)}, ${stay}`;
  const hairline = height > 3 && width > 3 ? { stroke: '#ffffff', 'stroke-width': 0.5 } : {};
  const fill = GROUPS[GROUP_OF[role]].colour;
  const rect = { x: left, y: top, width, height, fill, ...hairline };
  return (
    element('rect', rect, element('title', {}, escapeText(title))) +
    (height >= 15 && width >= name.length * CHARACTER_WIDTH + 10
      ? label(left + 5, top + height / 2 + 4, name, { colour: '#ffffff', size: 11 })
      : '')
  );
}

/** The threads' own memory, behind the arena. */
function scratch(program: Program, threads: number, { x, y }: Scales, map: MemoryMap): string {
  const bytes = threads * program.scratchBytes;
  if (bytes === 0) return '';
  const top = y(program.arenaBytes + bytes);
  const height = y(program.arenaBytes) - top;
  const fill = GROUPS.workspace.colour;
  const title = `scratch of the threads, ${megabytes(bytes)}, always there`;
  const rect = { x: x(0), y: top, width: x(map.steps) - x(0), height, fill, 'fill-opacity': 0.55 };
  return element('rect', rect, element('title', {}, title));
}

function axes({ x, y }: Scales, map: MemoryMap): string {
  const bottom = y(0);
  const line = { stroke: INK, 'stroke-width': 1 };
  const parts = [
    element('line', { x1: x(0), x2: x(map.steps), y1: bottom, y2: bottom, ...line }),
    element('line', { x1: x(0), x2: x(0), y1: bottom, y2: MARGIN.top, ...line }),
    label(22, (bottom + MARGIN.top) / 2, 'address in the arena, MB', {
      rotate: true,
      anchor: 'middle',
    }),
    label((x(0) + x(map.steps)) / 2, HEIGHT - 14, 'step of the program', { anchor: 'middle' }),
  ];
  for (const value of ticks(map.steps, 8)) {
    if (!Number.isInteger(value)) continue;
    parts.push(
      element('line', { x1: x(value), x2: x(value), y1: bottom, y2: bottom + 5, ...line }),
      label(x(value), bottom + 19, String(value), { anchor: 'middle' }),
    );
  }
  for (const { name, first } of map.phases) {
    if (first > 0) {
      const divider = { x1: x(first), x2: x(first), y1: bottom, y2: MARGIN.top };
      parts.push(element('line', { ...divider, stroke: INK, 'stroke-dasharray': '2 4' }));
    }
    parts.push(label(x(first) + 6, MARGIN.top + 8, `${name} →`, { size: 12, colour: PALE }));
  }
  return parts.join('');
}

function peakLine({ x, y, peak }: Scales, map: MemoryMap): string {
  const at = y(peak);
  const right = x(map.steps);
  const line = { x1: x(0), x2: right, y1: at, y2: at, stroke: '#b3261e', 'stroke-width': 1.5 };
  const text = `peak ${megabytes(peak)}`;
  return (
    element('line', { ...line, 'stroke-dasharray': '7 4' }) +
    label(right, at - 6, text, { colour: '#b3261e', anchor: 'end', weight: 600, size: 13 })
  );
}

interface LabelStyle {
  readonly size?: number;
  readonly weight?: number;
  readonly colour?: string;
  readonly anchor?: 'start' | 'middle' | 'end';
  /** Reading upwards. */
  readonly rotate?: boolean;
}

function label(x: number, y: number, text: string, style: LabelStyle): string {
  const { size = 12, weight = 400, colour = INK, anchor = 'start', rotate = false } = style;
  const turn = rotate ? { transform: `rotate(-90 ${String(x)} ${String(Math.round(y))})` } : {};
  return element(
    'text',
    {
      x,
      y,
      'font-size': size,
      ...(weight === 400 ? {} : { 'font-weight': weight }),
      fill: colour,
      ...(anchor === 'start' ? {} : { 'text-anchor': anchor }),
      'pointer-events': 'none',
      ...turn,
    },
    escapeText(text),
  );
}
