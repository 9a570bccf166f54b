/** Orders in which files keep the kernels of convolutions. */
import { CheckpointError } from '../errors.js';
import type { Evidence } from './evidence.js';
import type { FamilyConfig } from './sizes.js';

/** Channels of a picture. */
const PICTURE = 4;

/**
 * Throws CheckpointError where `stem`, the convolution that reads the picture, has its kernels as TensorFlow keeps them,
 * [height, width, inputs, outputs].
 */
export function expectOutputsFirst<C extends FamilyConfig>(
  { file, shape: shapeOf }: Pick<Evidence<C>, 'file' | 'shape'>,
  stem: string,
): void {
  const shape = shapeOf(stem) ?? [];
  const [height, width, inputs, outputs] = shape;
  if (shape.length !== 4 || height !== width || inputs > PICTURE || outputs <= width) return;
  throw new CheckpointError({
    where: `${file}, tensor ${stem}`,
    expected: 'kernels as PyTorch keeps them, [outputs, inputs, height, width]',
    got: `[${shape.join(', ')}], which is TensorFlow's order`,
    todo: 'Transpose kernels by (3, 2, 0, 1), and depthwise ones by (2, 3, 0, 1)',
  });
}
