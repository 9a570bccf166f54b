// @ts-check
/**
 * Runs programs on the executors that have kernels, in a process of its own: one that crashes or hangs takes
 * nobody with it. Plain JavaScript over the packages as they are built.
 *
 * @typedef {import('./program-runner.js').ProgramTask} ProgramTask
 * @typedef {import('./program-runner.js').Answer} Answer
 * @typedef {import('./program-runner.js').Where} Where
 */
import { parseProgram, ThimbleError, wasmExecutor, wasmVariants } from '@thimble/core';
import { native, nativeVariants } from '@thimble/native';

/** Whoever asked is gone. */
process.on('disconnect', () => process.exit(0));

process.on('message', (/** @type {ProgramTask} */ task) => {
  void answer(task);
});

/** @param {ProgramTask} task */
async function answer(task) {
  for (const where of await places(task.wasm)) {
    say({ kind: 'begun', where });
    say(await outcome(task, where));
  }
  say({ kind: 'done' });
}

/** @param {Answer} reply */
function say(reply) {
  process.send?.(reply);
}

/**
 * All instruction sets, and WebAssembly; one thread, and three that wait for each other.
 *
 * @param {boolean} wasm
 */
async function places(wasm) {
  const native = nativeVariants().map((variant) => `native ${variant}`);
  const other = wasm ? (await wasmVariants()).map((variant) => `wasm ${variant}`) : [];
  return [...native, ...other].flatMap((name) => [1, 3].map((threads) => ({ name, threads })));
}

/**
 * @param {ProgramTask} task
 * @param {Where} where
 * @returns {Promise<Answer>}
 */
async function outcome({ file, persistent, runs }, where) {
  try {
    const executor = await load(file, where);
    try {
      /** @type {Record<string, number[]>} */
      const results = {};
      for (const [name, data] of Object.entries(persistent)) executor.write(name, data);
      for (const [index, { entry, inputs, outputs }] of runs.entries()) {
        for (const [name, data] of Object.entries(inputs)) executor.write(name, data);
        await executor.run(entry);
        for (const name of outputs) {
          results[`${String(index)} ${name}`] = Array.from(await executor.read(name));
        }
      }
      return { kind: 'results', where, results };
    } finally {
      await executor.dispose();
    }
  } catch (error) {
    const typed = error instanceof ThimbleError;
    return { kind: 'failed', where, typed, message: String(error) };
  }
}

/**
 * @param {Uint8Array} file
 * @param {Where} where
 */
function load(file, { name, threads }) {
  const program = parseProgram(file);
  const [kind, variant] = name.split(' ');
  if (kind === 'wasm') {
    return wasmExecutor.load(program, { threads, variant: /** @type {any} */ (variant) });
  }
  return native.load(program, { threads, variant: /** @type {any} */ (variant) });
}
