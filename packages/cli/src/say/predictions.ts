/** What `thimble predict` says: a line for each image, and at its end what could not be read. */
import type {
  ClassifierEvent,
  InputsEvent,
  PredictionEvent,
  PredictResult,
} from '../library/predict.js';
import { percent } from '../terminal/format.js';
import type { Output } from '../terminal/output.js';
import { inOneLine } from '../terminal/terminal.js';
import { saySkipped, skippedLines } from './closing.js';

export class PredictionLines {
  private readonly output: Output;
  /** Of the longest name. */
  private width = 0;
  private titles: readonly string[] = [];

  constructor(output: Output) {
    this.output = output;
  }

  inputs({ images }: InputsEvent): void {
    this.width = images.reduce((most, name) => Math.max(most, inOneLine(name).length), 0);
  }

  classifier({ classes }: ClassifierEvent): void {
    this.titles = distinctTitles(classes);
  }

  prediction({ event, image, classes }: PredictionEvent): void {
    this.output.event(event, { image, classes });
    const text = classes.map(
      ({ index, probability }) => `${this.titles[index]} ${percent(probability)}`,
    );
    const name = inOneLine(image).padEnd(this.width);
    this.output.line(inOneLine(`${name}  ${text.join('  ')}`));
  }
}

export function sayPredicted(result: PredictResult, output: Output): void {
  const { images, failed, unread, executor, threads } = result;
  if (output.json) saySkipped(unread, output);
  else if (unread.length > 0) output.note(`thimble: ${skippedLines(unread).join('\n')}`);
  output.event('done', { images, failed, executor, threads });
}

/** What people read for each class: its name in one line, with its number where others have that name too. */
export function distinctTitles(classes: readonly string[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const name of classes) counts.set(name, (counts.get(name) ?? 0) + 1);
  return classes.map((name, index) => {
    const title = inOneLine(name);
    return counts.get(name) === 1 ? title : `${title} (output ${String(index)})`;
  });
}
