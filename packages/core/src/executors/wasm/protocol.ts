/**
 * What the executor and its worker threads say to each other. Every request has one reply, in
 * order; `write` has none. Pointers are byte addresses in the WebAssembly memory.
 */

/** The first message: become thread `thread` of `threads`. */
export interface StartRequest {
  readonly kind: 'start';
  readonly module: WebAssembly.Module;
  /** The memory that all threads share; null when this thread is the only one and makes its own. */
  readonly memory: WebAssembly.Memory | null;
  /** Size of the memory in pages of 64 KiB. */
  readonly pages: number;
  readonly thread: number;
  readonly threads: number;
  readonly arena: number;
  readonly barrier: number;
  /** Where this thread's Context struct (kernels/kernel.h) goes. */
  readonly context: number;
  /** One past the end of this thread's stack, which grows downwards. */
  readonly stackTop: number;
  readonly scratch: number;
  readonly scratchBytes: number;
}

/** Run the encoded steps at `words`. */
export interface RunRequest {
  readonly kind: 'run';
  readonly words: number;
}

/** Run a loop of kernels/peak.c: copies of `count` floats, or multiply-adds where it is 0. */
export interface PeakRequest {
  readonly kind: 'peak';
  readonly to: number;
  readonly from: number;
  readonly count: number;
  readonly repeats: number;
}

/** Copy `bytes` to `address`; only to a thread that made its own memory. */
export interface WriteRequest {
  readonly kind: 'write';
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** Send back a copy of memory; only to a thread that made its own memory. */
export interface ReadRequest {
  readonly kind: 'read';
  readonly address: number;
  readonly length: number;
}

export type Request = StartRequest | RunRequest | PeakRequest | WriteRequest | ReadRequest;

export type Reply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'done'; readonly milliseconds: number }
  | { readonly kind: 'peaked'; readonly work: number; readonly milliseconds: number }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'failed'; readonly message: string };
