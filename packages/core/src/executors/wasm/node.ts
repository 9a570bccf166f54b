/**
 * What the executor does differently in Node. Built-in modules are asked for when they are needed and
 * never imported: bundlers for browsers would have to be told to leave them out.
 */

/** Not whether there is a global Worker: libraries give Node one (onnxruntime-web does). */
export function isNode(): boolean {
  return typeof process !== 'undefined' && typeof process.getBuiltinModule === 'function';
}

/**
 * Node 20 has relaxed SIMD behind a flag (V8 made it a default a few weeks later, so Node 22 and
 * browsers need none). The flag can be set at run time: V8 reads it when a module is validated or
 * compiled, for all threads of the process. It only allows more modules, so it stays set: taking it
 * back could come between another thread's validation and compilation.
 *
 * Where the engine does not have the flag nothing changes; whoever calls this validates again.
 */
export function allowRelaxedSimd(): void {
  if (!isNode()) return;
  try {
    process.getBuiltinModule('node:v8').setFlagsFromString('--experimental-wasm-relaxed-simd');
  } catch {
    // Another JavaScript engine under Node's interface: it has relaxed SIMD or it has not.
  }
}
