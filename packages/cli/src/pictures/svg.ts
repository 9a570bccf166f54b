/** Small pieces of SVG text, and round numbers for an axis. */
import { inOneLine } from '../terminal/terminal.js';

export type Attributes = Readonly<Record<string, string | number>>;

/** `<name a="1">children</name>`; numbers are cut to two decimals. */
export function element(name: string, attributes: Attributes, ...children: string[]): string {
  const list = Object.entries(attributes).map(
    ([key, value]) => ` ${key}="${typeof value === 'number' ? short(value) : escapeText(value)}"`,
  );
  const start = `<${name}${list.join('')}`;
  return children.length === 0 ? `${start}/>` : `${start}>${children.join('')}</${name}>`;
}

/** `text` in XML and in Pango's markup: without the characters that no XML may have. */
export function escapeText(text: string): string {
  return inOneLine(text)
    .replace(/[\p{Surrogate}\ufffe\uffff]/gu, '\ufffd') // halves of pairs, and what is no character
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

/**
 * Round numbers from 0 to `largest`, about `count` of them: steps of 1, 2 or 5 times a power of
 * ten.
 */
export function ticks(largest: number, count: number): readonly number[] {
  if (!(largest > 0)) return [0];
  const rough = largest / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  return Array.from({ length: Math.floor(largest / step + 1e-9) + 1 }, (_, index) => index * step);
}

function short(value: number): string {
  return String(Math.round(value * 100) / 100);
}
