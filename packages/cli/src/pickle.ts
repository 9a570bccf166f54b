/**
 * Checkpoints of torch.save: pickles, that is programs, which are never run here. What to say
 * instead: the line that converts one.
 */
import { FormatError } from '@thimble/core';

const PICKLE = /\.(pt|pth|bin|ckpt|pkl|pickle)$/i;

/** True for a file name under which PyTorch saves pickles. */
export function isPickle(path: string): boolean {
  return PICKLE.test(path);
}

/** The line that writes `path` again as safetensors, beside it. */
export function convertLine(path: string): string {
  const to = path.replace(PICKLE, '.safetensors');
  return (
    `python -c "import torch, safetensors.torch as s; ` +
    `d = torch.load('${path}', map_location='cpu', weights_only=True); ` +
    `d = d.get('state_dict', d.get('model', d)); ` +
    `s.save_file({k: v.contiguous().clone() for k, v in d.items()}, '${to}')"`
  );
}

export function pickleError(path: string): FormatError {
  return new FormatError({
    where: path,
    expected: 'weights in safetensors',
    got: 'a PyTorch pickle, which could run any program when it is read',
    todo: `Convert it where you trust it: ${convertLine(path)}`,
  });
}
