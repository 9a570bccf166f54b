/**
 * The part of the WebAssembly API that peak.ts uses: Node has it, but its types do not declare it.
 */

/** A compiled module; only its identity matters. */
export type WasmModule = object;

interface WebAssemblyApi {
  compile(bytes: Uint8Array): Promise<WasmModule>;
  readonly Instance: new (module: WasmModule) => { readonly exports: unknown };
}

export const webAssembly = Reflect.get(globalThis, 'WebAssembly') as WebAssemblyApi;
