/**
 * What an export can write, by name, and the parts of each file.
 *
 * The folder is laid out as models on the Hugging Face hub are, which is what transformers and
 * transformers.js read:
 *
 *   config.json  preprocessor_config.json  labels.txt
 *   onnx/model.onnx  onnx/model_fp16.onnx  onnx/model_quantized.onnx
 *   model.safetensors     Hugging Face names, dense
 *   thimble.safetensors   timm's names, factored where the run is
 */
import {
  ConfigError,
  foreignWeights,
  huggingFaceConfig,
  lookUp,
  preprocessorConfig,
  safetensorsData,
  safetensorsPrefix,
  type MergedTensor,
  type SafetensorsDtype,
} from '@thimble/core';
import { encodeOnnx, ONNX_FORMATS, onnxModel, type OnnxFormatName } from '@thimble/onnx';
import { VERSION } from '../host/version.js';
import { FORM_KEY } from '../run/form.js';
import { STORED } from '../weights/checkpoint.js';
import { graphOf, type ExportedModel } from './model.js';

export const PREPROCESSOR = 'preprocessor_config.json';

/** Element types of safetensors files, by the names of --dtype. */
export const DTYPES = {
  f32: { safetensors: 'F32', torch: 'float32' },
  f16: { safetensors: 'F16', torch: 'float16' },
  bf16: { safetensors: 'BF16', torch: 'bfloat16' },
} as const;

export type DtypeName = keyof typeof DTYPES;

export interface ExportFormat {
  readonly summary: string;
  /** Path in the folder. */
  readonly file: string;
  /** The ONNX form; null for a safetensors file. */
  readonly onnx: OnnxFormatName | null;
  /** Whether config.json and preprocessor_config.json belong to it. */
  readonly hasConfig: boolean;
  /** The file in parts, each valid until the next is asked for. */
  parts(model: ExportedModel, dtype: DtypeName): Iterable<Uint8Array>;
}

export const EXPORT_FORMATS: Readonly<Record<string, ExportFormat>> = {
  ...Object.fromEntries(
    (Object.keys(ONNX_FORMATS) as OnnxFormatName[]).map((name) => [name, onnxFormat(name)]),
  ),
  safetensors: {
    summary: "weights under timm's names, as --init reads them; factors stay factors",
    file: 'thimble.safetensors',
    onnx: null,
    hasConfig: false,
    parts: (model, dtype) => safetensorsParts(model.tensors, dtype, ownMetadata(model)),
  },
  hf: {
    summary: 'weights, configuration and labels for transformers (Python); always dense',
    file: 'model.safetensors',
    onnx: null,
    hasConfig: true,
    parts: ({ dense, config }, dtype) => {
      const weights = foreignWeights('hugging-face', config, dense);
      const tensors = [...weights.shapes].map(([name, shape]) => {
        return { name, shape, dtype: 'f32' as const, read: () => weights.read(name) };
      });
      return safetensorsParts(tensors, dtype, new Map([['format', 'pt']]));
    },
  },
};

/** `onnx,onnx-int8` → formats by name. Throws UnknownNameError with the nearest name. */
export function formatsOf(text: string): ReadonlyMap<string, ExportFormat> {
  const names = text.split(',').map((name) => name.trim());
  return new Map(
    names.map((name) => [name, lookUp<ExportFormat>('export format', name, EXPORT_FORMATS)]),
  );
}

function onnxFormat(name: OnnxFormatName): ExportFormat {
  const { summary, file } = ONNX_FORMATS[name];
  return {
    summary,
    file: `onnx/${file}`,
    onnx: name,
    hasConfig: true,
    parts: (model) => {
      const read = model.contents;
      const parts = { model: graphOf(model), read, name: model.name, producerVersion: VERSION };
      return encodeOnnx(onnxModel(name, { ...parts, metadata: onnxMetadata(model) })).parts();
    },
  };
}

/** Everything that is needed to use the file alone. */
function onnxMetadata(model: ExportedModel): ReadonlyMap<string, string> {
  return new Map([
    ['model', model.name],
    ['method', model.method.text],
    ['labels', JSON.stringify(model.labels)],
    ['preprocess', JSON.stringify(model.preprocess)],
    ['thimble', VERSION],
  ]);
}

/** What a run's own checkpoint says, so that the file is read back as one. */
function ownMetadata(model: ExportedModel): ReadonlyMap<string, string> {
  const form = model.isFactored ? model.metadata.get(FORM_KEY) : undefined;
  return new Map([
    ['format', 'pt'],
    ['model', model.name],
    ['classes', JSON.stringify(model.labels)],
    ['thimble.config', JSON.stringify(model.config)],
    ['preprocess', JSON.stringify(model.preprocess)],
    ...(form === undefined ? [] : [[FORM_KEY, form] as const]),
  ]);
}

function* safetensorsParts(
  all: readonly MergedTensor[],
  dtype: DtypeName,
  metadata: ReadonlyMap<string, string>,
): Iterable<Uint8Array> {
  const tensors = all.map((tensor) => {
    return { ...tensor, dtype: storedDtype(tensor, dtype) };
  });
  const { prefix, ordered } = safetensorsPrefix(tensors, metadata);
  yield prefix;
  for (const { read, ...tensor } of ordered) yield safetensorsData({ ...tensor, data: read() });
}

/** Integers stay as they are. */
function storedDtype({ dtype }: MergedTensor, asked: DtypeName): SafetensorsDtype {
  return dtype === 'f32' ? DTYPES[asked].safetensors : STORED[dtype];
}

/** The text files of the folder, by name. */
export function sidecars(
  { config, labels, preprocess }: ExportedModel,
  formats: readonly ExportFormat[],
  dtype: DtypeName,
): ReadonlyMap<string, string> {
  const files = new Map([['labels.txt', `${labels.join('\n')}\n`]]);
  if (!formats.some(({ hasConfig }) => hasConfig)) return files;
  const isForTorch = formats.some(({ onnx, hasConfig }) => hasConfig && onnx === null);
  const use = isForTorch ? 'weights' : 'graph';
  const asJson = (value: object) => `${JSON.stringify(value, null, 2)}\n`;
  const type = { torch_dtype: DTYPES[dtype].torch };
  files.set('config.json', asJson({ ...huggingFaceConfig(config, labels, use), ...type }));
  files.set(PREPROCESSOR, asJson(preprocessorConfig(config, preprocess)));
  return files;
}

/** The name of --dtype. Throws UnknownNameError. */
export function dtypeOf(name: string, formats: readonly ExportFormat[]): DtypeName {
  lookUp<object>('dtype', name, DTYPES);
  const dtype = (Object.keys(DTYPES) as DtypeName[]).find((known) => known === name) ?? 'f32';
  if (dtype === 'f32' || formats.some(({ onnx }) => onnx === null)) return dtype;
  throw new ConfigError({
    where: '--dtype',
    expected: 'a format with safetensors: safetensors or hf',
    got: 'ONNX formats alone',
    todo: 'Choose --format onnx-fp16 for half the bytes in ONNX',
  });
}
