/**
 * The executor's memory as the host sees it. Where memory can be shared the host reads and writes
 * it in place; on a page that is not cross-origin isolated the only thread owns it and the host
 * sends messages.
 */
import { ExecutorError } from '../../errors.js';
import type { Thread } from './thread.js';

export interface Store {
  /** Copies `data` to `address`; later runs see it. */
  write(address: number, data: HostWords): void;
  /** A copy of `length` bytes from `address`. */
  read(address: number, length: number): Promise<ArrayBuffer>;
}

/** What lies in an arena, and the words of an entry. */
export type HostWords = Float32Array | Int32Array | Int8Array;

/** Whether this environment lets threads share memory. */
export function canShareMemory(): boolean {
  return (
    typeof SharedArrayBuffer !== 'undefined' &&
    (typeof crossOriginIsolated === 'undefined' || crossOriginIsolated)
  );
}

export function sharedStore(memory: WebAssembly.Memory): Store {
  return {
    write: (address, data) => {
      new Uint8Array(memory.buffer, address, data.byteLength).set(bytesOf(data));
    },
    read: (address, length) => {
      const copy = new Uint8Array(length);
      copy.set(new Uint8Array(memory.buffer, address, length));
      return Promise.resolve(copy.buffer);
    },
  };
}

export function remoteStore(owner: Thread): Store {
  return {
    write: (address, data) => {
      owner.send({ kind: 'write', address, bytes: bytesOf(data) });
    },
    read: async (address, length) => {
      const reply = await owner.request({ kind: 'read', address, length });
      if (reply.kind === 'bytes') return reply.bytes.slice().buffer;
      throw new ExecutorError({
        where: 'executor wasm',
        expected: 'the bytes that were asked for',
        got: `the reply "${reply.kind}"`,
        todo: 'Report this as a bug',
      });
    },
  };
}

function bytesOf(data: HostWords): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
