/** Progress of one stretch of work: a bar on a terminal, a line every few seconds elsewhere. */
import { Presets, SingleBar } from 'cli-progress';
import { terminal, writeOut } from './streams.js';
import { inOneLine } from './terminal.js';

export type BarStyle = 'bar' | 'lines' | 'none';

/** Between two lines when there is no terminal. */
const LINE_MS = 10_000;
const BAR_WIDTH = 28;

export class Bar {
  private readonly title: string;
  private readonly total: number;
  private readonly style: BarStyle;
  private readonly bar: SingleBar | null;
  private lastLine = performance.now();

  constructor(title: string, total: number, style: BarStyle) {
    this.title = inOneLine(title);
    this.total = total;
    this.style = style;
    const stream = style === 'bar' ? terminal() : null;
    this.bar = stream && terminalBar(stream);
    this.bar?.start(total, 0, { title: this.title, note: '' });
  }

  /** `done` units are finished; `note` is what to say beside them. */
  update(done: number, note: string): void {
    this.bar?.update(done, { note: inOneLine(note) });
    if (this.style !== 'lines' || performance.now() - this.lastLine < LINE_MS) return;
    this.lastLine = performance.now();
    writeOut(`${this.title}  ${String(done)}/${String(this.total)}  ${inOneLine(note)}\n`);
  }

  /** Takes the bar off the screen. */
  stop(): void {
    this.bar?.stop();
  }
}

function terminalBar(stream: NodeJS.WritableStream): SingleBar {
  return new SingleBar(
    {
      format: '{title}  {bar} {value}/{total}  {note}  {eta_formatted} left',
      stream,
      barsize: BAR_WIDTH,
      clearOnComplete: true,
      fps: 8,
    },
    Presets.shades_classic,
  );
}
