/**
 * The executors that the contract tests run on. To be listed is to be tested: an executor that is not
 * available here makes its tests fail, except the native one on a machine without a C compiler.
 */
import type { ExecutorKind } from '../src/executors/executor.js';
import { referenceExecutor } from '../src/executors/reference/index.js';

/** Executors that compute, with the tolerance that their arithmetic allows. */
export const EXECUTORS: readonly ExecutorKind[] = [referenceExecutor];
