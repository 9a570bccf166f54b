/**
 * onnxruntime-node, where it is installed: the command does not depend on it.
 *
 * It is looked for beside this package and in the folder in which the command was started.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { InternalError } from '@thimble/core';
import type * as OnnxRuntime from 'onnxruntime-node';

type Onnx = typeof OnnxRuntime;

const NAME = 'onnxruntime-node';

/** A model loaded in onnxruntime. */
export interface RuntimeModel {
  /** Logits of images [count, 3, S, S]. */
  logits(images: Float32Array, count: number): Promise<Float32Array>;
  release(): Promise<void>;
}

export interface Runtime {
  readonly version: string;
  load(path: string, threads: number): Promise<RuntimeModel>;
}

/** The runtime, or in one sentence why there is none. */
export async function findRuntime(): Promise<Runtime | string> {
  try {
    return runtimeOf(await importOnnx());
  } catch (error) {
    const isAbsent = error instanceof Error && 'code' in error && isNotFound(error.code);
    if (isAbsent) return `${NAME} is not installed (npm i ${NAME})`;
    return `${NAME} does not load: ${error instanceof Error ? error.message : String(error)}`;
  }
}

async function importOnnx(): Promise<Onnx> {
  try {
    return await import('onnxruntime-node');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && isNotFound(error.code))) throw error;
  }
  const there = createRequire(join(process.cwd(), 'package.json')).resolve(NAME);
  return (await import(pathToFileURL(there).href)) as Onnx;
}

function isNotFound(code: unknown): boolean {
  return code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
}

function runtimeOf({ InferenceSession, Tensor, env }: Onnx): Runtime {
  return {
    version: env.versions.node ?? env.versions.common,
    load: async (path, threads) => {
      const session = await InferenceSession.create(path, {
        intraOpNumThreads: threads,
        interOpNumThreads: 1,
        executionProviders: ['cpu'],
        logSeverityLevel: 3, // errors; warnings say that a CPU has no float16
      });
      const side = Number(session.inputMetadata[0].isTensor && session.inputMetadata[0].shape[3]);
      return {
        logits: async (images, count) => {
          const shape = [count, images.length / count / side ** 2, side, side];
          const pixels = new Tensor('float32', images, shape);
          const { logits } = await session.run({ pixel_values: pixels });
          if (logits.data instanceof Float32Array) return logits.data;
          throw InternalError.of('onnxruntime', 'float32 logits', logits.type);
        },
        release: () => session.release(),
      };
    },
  };
}
