/** What `thimble export` says of the files that it wrote. */
import { megabytes } from '@thimble/core';
import { PREPROCESSOR } from '../export/formats.js';
import type { ExportedFile, ExportedPictures, ExportResult } from '../library/export.js';
import { counted, milliseconds, percent } from '../terminal/format.js';
import type { Output } from '../terminal/output.js';
import { tableText } from '../terminal/table.js';

export function sayExported(result: ExportResult, output: Output): void {
  const { out, files, classes, isFactored, pictures, checkedWith, notChecked, threads } = result;
  for (const { agreement, latencyMs, ...file } of files) {
    output.event('file', { ...file, ...agreement, latencyMs });
  }
  output.event('done', {
    ...{ out, files: files.length, classes, factored: isFactored },
    pictures: pictures && { tried: pictures.tried, aside: pictures.aside, ...pictures.agreement },
    ...checkedWith,
    ...{ threads, notChecked },
  });
  output.line(`Exported ${counted(files.length, 'file')} to ${out}`);
  output.line();
  output.line(tableOf(files));
  output.line();
  if (checkedWith) {
    const { executor, latencyMs } = checkedWith;
    output.line(
      `Time for one image: median of rounds, ${counted(threads, 'thread')}; Thimble, ` +
        `${executor}: ${milliseconds(latencyMs ?? NaN)}`,
    );
  }
  if (notChecked !== null) output.line(`Not checked: ${notChecked}.`);
  for (const line of pictures ? pictureLines(pictures) : []) output.line(line);
}

/** What preprocessor_config.json makes of the test pictures, where it is not the model's own way. */
function pictureLines({ tried, aside, agreement }: ExportedPictures): readonly string[] {
  if (aside === 0) return [];
  const change = agreement
    ? ` (max |Δlogit| ${agreement.maxDifference.toExponential(1)}, the same class for ` +
      `${String(agreement.agreeing)} of ${String(tried)})`
    : '';
  return [
    '',
    `${PREPROCESSOR} cuts ${String(aside)} of ${String(tried)} test pictures a pixel aside${change}.`,
    'It has no word for how half a pixel is rounded: its readers round down, this model to the even',
    'side. What thimble train makes now rounds down too.',
  ];
}

function tableOf(files: readonly ExportedFile[]): string {
  const head = [
    'Format',
    'File',
    '>Size',
    '>of fp32',
    '>max |Δlogit|',
    '>Same class',
    '>One image',
  ];
  const rows = files.map(({ format, file, bytes, ofFloat32, agreement, latencyMs }) => [
    ...[format, file, megabytes(bytes), percent(ofFloat32)],
    agreement ? agreement.maxDifference.toExponential(1) : '',
    agreement ? `${String(agreement.agreeing)} of ${String(agreement.images)}` : '',
    latencyMs === null ? '' : milliseconds(latencyMs),
  ]);
  return tableText(head, rows);
}
