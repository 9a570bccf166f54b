/**
 * The few web platform types that the executor uses. Core is compiled without the DOM library, so
 * that nothing else of it can be used by accident; Node has WebAssembly but @types/node does not
 * declare it.
 */

declare namespace WebAssembly {
  class Module {
    private readonly brand;
  }
  class Memory {
    constructor(descriptor: { initial: number; maximum: number; shared: boolean });
    readonly buffer: SharedArrayBuffer;
  }
  function validate(bytes: Uint8Array): boolean;
  function compile(bytes: Uint8Array): Promise<Module>;
}

/** A browser's worker; absent in Node. */
declare class Worker {
  constructor(url: URL, options: { type: 'module' });
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onerror: ((event: { readonly message: string; preventDefault(): void }) => void) | null;
  onmessageerror: (() => void) | null;
  postMessage(message: unknown): void;
  terminate(): void;
}

/** False on a page that may not share memory between threads; absent outside of browsers. */
declare const crossOriginIsolated: boolean | undefined;
