/** A thread of clang.ts: runs the tasks that it is sent, one after the other. */
import { commands, Exit, type Tree } from '@yowasp/clang';
import { parentPort } from 'node:worker_threads';
import type { ToolTask, ToolResult } from './clang.js';

/** Loads the tools; without this call they print their progress. */
const loaded = commands.clang(undefined, {}, { fetchProgress: () => undefined });

parentPort?.on('message', (task: ToolTask) => {
  void run(task).then((result) => {
    parentPort?.postMessage(result);
  });
});

async function run({ tool, args, files, output }: ToolTask): Promise<ToolResult> {
  await loaded;
  const decoder = new TextDecoder();
  let printed = '';
  const collect = (bytes: Uint8Array | null) => {
    if (bytes !== null) printed += decoder.decode(bytes, { stream: true });
  };
  try {
    const tree = await commands[tool]([...args], copyOf(files), {
      stdout: collect,
      stderr: collect,
    });
    const written = tree?.[output];
    return written instanceof Uint8Array ? { bytes: written } : { printed: `no file ${output}` };
  } catch (error) {
    return { printed: error instanceof Exit ? printed : String(error) };
  }
}

function copyOf(files: ToolTask['files']): Tree {
  return { ...files };
}
