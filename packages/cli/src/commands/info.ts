/** thimble info: what is in a file of weights or in a run. */
import { resizedEdge, type Preprocess } from '@thimble/core';
import type { Command } from 'commander';
import type { ForgottenRecord } from '../run/forgotten.js';
import { counted, metric, percent, significant } from '../terminal/format.js';
import { info, type InfoOptions } from '../library/info.js';
import type {
  InspectedFactor,
  InspectedModel,
  InspectedRun,
  InspectedTensor,
  Inspection,
  NotFinite,
} from '../source/inspect.js';
import { Output } from '../terminal/output.js';
import { addHub, addJson, type CommonOptions } from '../options/shared.js';
import { tableLines } from '../terminal/table.js';
import { spoken } from './spoken.js';

interface Options extends CommonOptions, Omit<InfoOptions, 'what'> {
  readonly all: boolean;
}

const HELP = `
WHAT is a safetensors file, the index of a sharded checkpoint, a folder with model.safetensors and
config.json, a run folder, or a model on the hub as owner/name. Names of timm, Hugging Face and
torchvision are recognised; any other safetensors file is listed without a model. PyTorch pickles
(.pt, .bin) are never read: the error has the line that converts one.

Examples:
  thimble info vit_tiny_patch16_224.safetensors
  thimble info runs/photos-1 --best
  thimble info google/vit-base-patch16-224 --json
`;

/** Lines that are written at once. */
const AT_ONCE = 1000;
/** Tensors and class names that are shown without --all. */
const SHOWN_TENSORS = 20;
const SHOWN_CLASSES = 5;

export function addInfo(program: Command): void {
  const command = program
    .command('info')
    .summary('show what is in a file of weights or in a run')
    .description(
      'Shows what a checkpoint is: its architecture, parameters, classes, preprocessing, ranks, hash.',
    )
    .argument('<WHAT>', 'file, folder, run, or owner/name on the hub')
    .option('--all', `all tensors, not the first ${String(SHOWN_TENSORS)}`, false)
    .option('--best', 'of a run: the weights of its best epoch instead of the last', false);
  addJson(addHub(command))
    .addHelpText('after', HELP)
    .action(async (what: string, options: Options) => {
      const output = new Output(options.json);
      const inspection = await spoken(output, (hooks) => info({ ...options, what }, hooks));
      if (output.json) {
        output.event('info', record(inspection));
        return;
      }
      const parts = lines(inspection, options.all);
      for (let at = 0; at < parts.length; at += AT_ONCE) {
        output.line(parts.slice(at, at + AT_ONCE).join('\n'));
      }
    });
}

/** Everything, for programs. */
function record(inspection: Inspection): Readonly<Record<string, unknown>> {
  const { path, files, tensors, metadata, model, reason, factors, notFinite, run } = inspection;
  return {
    path,
    files,
    model: model && {
      description: model.description,
      naming: model.naming,
      preset: model.modelName,
      config: model.config,
      hasClassifier: model.hasClassifier,
      labels: model.labels,
      preprocess: model.pictures,
      isPreprocessSaid: model.isPreprocessSaid,
      parameters: model.parameters,
      ignored: model.ignored,
    },
    reason,
    elements: sum(tensors, 'elements'),
    bytes: Object.fromEntries(bytesByDtype(tensors)),
    factors,
    notFinite,
    metadata: Object.fromEntries(metadata),
    tensors: tensors.map(({ name, shape, dtype }) => ({ name, shape, dtype })),
    run: run && { folder: run.folder, files: run.contents, record: run.record },
  };
}

function lines(inspection: Inspection, all: boolean): readonly string[] {
  const { path, files, tensors, metadata, model, reason, factors, notFinite, run } = inspection;
  const total = sum(tensors, 'bytes');
  const dtypes = bytesByDtype(tensors).map(([dtype, bytes]) => `${dtype} ${bytesText(bytes)}`);
  const rows: readonly Row[] = [
    ...(run ? runRows(run) : []),
    ...(model ? modelRows(model) : [['Model', reason ?? ''] as const]),
    [
      'Tensors',
      `${counted(tensors.length, 'tensor')}, ${metric(sum(tensors, 'elements'))} elements`,
    ],
    ['Bytes', `${bytesText(total)}: ${dtypes.join(', ')}`],
    ['Numbers', numberText(notFinite)],
    ['Metadata', metadata.size === 0 ? 'none' : [...metadata.keys()].sort().join(', ')],
    ...files.map(({ file, sha256 }): Row => [
      'SHA-256',
      files.length > 1 ? `${sha256} ${file}` : sha256,
    ]),
  ];
  const width = Math.max(...rows.map(([title]) => title.length)) + 2;
  return [
    path,
    ...rows.map(([title, text]) => `  ${title.padEnd(width)}${text}`),
    ...factorLines(factors),
    ...tensorLines(tensors, all),
  ];
}

type Row = readonly [title: string, text: string];

function runRows({ record: run, contents }: InspectedRun): readonly Row[] {
  const best = run.history.reduce((most, { accuracy }) => Math.max(most, accuracy), -Infinity);
  const last = run.history.at(-1);
  const accuracy = last
    ? `${percent(last.accuracy)} after ${counted(run.history.length, 'epoch')}, best ${percent(best)}`
    : 'no epoch yet';
  const { from, trainImages, validationImages } = run.data;
  return [
    ['Run', `${run.model.name}, method ${run.method}, ${run.status}`],
    ['Accuracy', accuracy],
    ['Data', `${from}, ${String(trainImages)} for training, ${String(validationImages)} held out`],
    ...(run.origin
      ? [['Started from', `${run.origin.from} (${run.origin.description})`] as const]
      : []),
    ...(run.forgotten ? [['Forgotten', run.forgotten.map(forgottenText).join('; ')] as const] : []),
    ['Files', contents.map(({ file, bytes }) => `${file} ${bytesText(bytes)}`).join(', ')],
  ];
}

/** What the accuracy of the training still counts. */
function forgottenText({ class: name, images, alpha, share }: ForgottenRecord): string {
  const what = name === null ? counted(images, 'image') : `class ${name}`;
  return `${what} after training (α ${significant(alpha)}, ${percent(share)} of the weights)`;
}

function modelRows(model: InspectedModel): readonly Row[] {
  const { description, modelName, parameters, config, labels, ignored } = model;
  const preset = modelName === null ? '' : `; preset ${modelName}`;
  const said = model.isPreprocessSaid ? '' : ' (nothing says it: what the family is trained with)';
  return [
    ['Model', description + preset],
    ['Parameters', `${metric(parameters)} (${parameters.toLocaleString('en')})`],
    ['Image size', `${String(config.imageSize)} px`],
    ['Classes', model.hasClassifier ? classText(config.classes, labels) : 'no classifier'],
    ['Pictures', pictureText(model.pictures) + said],
    ...(ignored.length > 0 ? [['Not used', listed(ignored, SHOWN_CLASSES)] as const] : []),
  ];
}

function classText(classes: number, labels: readonly string[] | null): string {
  const names = labels ? listed(labels, SHOWN_CLASSES) : 'without names';
  return `${String(classes)}: ${names}`;
}

/** `shortest edge to 248 px, the 224 px in the middle, bicubic, mean 0.5 0.5 0.5, std …` */
function pictureText(preprocess: Preprocess): string {
  const { size, resize, filter, mean, std } = preprocess;
  const isSquash = resize === 'squash';
  const edge = resizedEdge(preprocess);
  const target = `${String(edge)} px`;
  const crop = edge === size && isSquash ? '' : `, the ${String(size)} px in the middle`;
  const numbers = (triple: readonly number[]) =>
    triple.map((value) => String(Number(value.toPrecision(6)))).join(' ');
  return (
    `${isSquash ? 'both edges' : 'shortest edge'} to ${target}${crop}, ${filter}, ` +
    `mean ${numbers(mean)}, std ${numbers(std)}`
  );
}

function numberText(notFinite: readonly NotFinite[]): string {
  if (notFinite.length === 0) return 'all finite';
  const places = notFinite.map(
    ({ tensor, element, value }) => `${value} at element ${String(element)} of ${tensor}`,
  );
  return `NOT all finite: ${listed(places, SHOWN_CLASSES)}`;
}

function factorLines(factors: readonly InspectedFactor[]): readonly string[] {
  if (factors.length === 0) return [];
  const rows = factors.map(({ weight, outputs, inputs, rank, isAdapter }) => {
    const share = (rank * (outputs + inputs)) / (outputs * inputs);
    return [
      weight,
      outputs,
      inputs,
      rank,
      percent(share),
      isAdapter ? 'added to it' : 'in its place',
    ];
  });
  const head = ['Factors of', '>Outputs', '>Inputs', '>K', '>Of its size', 'L R is'];
  return ['', ...tableLines(head, rows)];
}

function tensorLines(tensors: readonly InspectedTensor[], all: boolean): readonly string[] {
  const shown = all ? tensors : tensors.slice(0, SHOWN_TENSORS);
  const rows = shown.map(({ name, shape, dtype }) => [name, `[${shape.join(', ')}]`, dtype]);
  const more = tensors.length - shown.length;
  const listed = [...tableLines(['Tensor', 'Shape', 'Dtype'], rows)];
  return ['', ...listed, ...(more > 0 ? [`and ${String(more)} more (--all shows them)`] : [])];
}

function bytesByDtype(tensors: readonly InspectedTensor[]): readonly (readonly [string, number])[] {
  const bytes = new Map<string, number>();
  for (const tensor of tensors) {
    bytes.set(tensor.dtype, (bytes.get(tensor.dtype) ?? 0) + tensor.bytes);
  }
  return [...bytes];
}

/** 10218 → `10.2 kB`. */
function bytesText(bytes: number): string {
  return `${metric(bytes)}${bytes < 1000 ? ' ' : ''}B`;
}

function sum(tensors: readonly InspectedTensor[], key: 'elements' | 'bytes'): number {
  return tensors.reduce((total, tensor) => total + tensor[key], 0);
}

function listed(names: readonly string[], count: number): string {
  const more = names.length - count;
  const first = names.slice(0, count).join(', ');
  return more > 0 ? `${first} and ${String(more)} more` : first;
}
