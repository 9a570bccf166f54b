import { defineConfig } from 'vitest/config';
import { fileURLToPath } from 'node:url';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Damaged inputs for each reader: null is the target's own few. */
    fuzz: { readonly cases: number | null; readonly seed: number; readonly target: string | null };
  }
}

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));

// Package names resolve to src, so that a failing test points at the line. Only processes that tests start
// (the command, its workers, the WebAssembly kernels, the addon) are what the build made.
export default defineConfig({
  resolve: {
    alias: {
      '@thimble/core': source('packages/core/src/index.ts'),
      '@thimble/native': source('packages/native/src/index.ts'),
      '@thimble/onnx': source('packages/onnx/src/index.ts'),
      '@thimble/cli': source('packages/cli/src/library/index.ts'),
    },
  },
  test: {
    include: [
      'packages/*/test/**/*.test.ts',
      'bench/test/**/*.test.ts',
      'examples/*.test.ts',
      'pretrain/test/**/*.test.ts',
      'scripts/test/**/*.test.ts',
      'fuzz/*.test.ts',
    ],
    testTimeout: 60_000,
    hookTimeout: 60_000, // hooks start processes and load models; the machine may be busy
    provide: { fuzz: { cases: null, seed: 1, target: null } },
    pool: 'forks',
    maxWorkers: 2,
  },
});
