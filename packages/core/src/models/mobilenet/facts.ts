/** What the files beside the weights say, and what each library does where they say nothing. */
import type { Padding } from '../../nn/convolution.js';
import { number, object, optional, readValue, text, truth } from '../../schema/index.js';
import { PYTORCH_NORM } from '../batch-norm.js';
import { CONFIG, side } from '../documents.js';
import { unsupported, type Evidence } from '../evidence.js';
import { CLASSES, IMAGE_SIZE } from '../sizes.js';
import { timmFacts } from '../timm.js';
import type { MobileNetConfig } from './schema.js';

export interface MobileNetFacts {
  readonly imageSize: number | undefined;
  readonly classes: number | undefined;
  readonly padding: Padding;
  readonly eps: number;
  readonly momentum: number;
}

/** PyTorch's defaults, which timm keeps. */
const PYTORCH = { padding: 'symmetric', ...PYTORCH_NORM } as const;
/** timm's of weights from TensorFlow. */
const TENSORFLOW = { padding: 'same', eps: 1e-3, momentum: 0.1 } as const;

const EPS = number({ least: 1e-30, most: 1 });
const TRANSFORMERS = object({
  model_type: optional(text({ most: 200 })),
  image_size: optional(side(IMAGE_SIZE)),
  num_labels: optional(CLASSES),
  hidden_act: optional(text({ most: 200 })),
  tf_padding: optional(truth),
  layer_norm_eps: optional(EPS),
  batch_norm_eps: optional(EPS),
});
/** Activations of the transformers' models by their names there. */
const KNOWN_ACTIVATIONS = ['relu6', 'swish', 'silu'];

/** Throws CheckpointError for values that make no sense and for what these models cannot do. */
export function mobileNetFacts({
  said,
  naming,
  kinds,
  shape,
}: Evidence<MobileNetConfig>): MobileNetFacts {
  const isV3 = shape('blocks.6.0.conv.weight') !== null || shape('blocks.5.0.conv.weight') !== null;
  const own =
    naming === 'torchvision' && isV3 ? { ...PYTORCH, eps: 1e-3, momentum: 0.01 } : PYTORCH;
  switch (said.by) {
    case 'transformers': {
      const file = readValue(said.file, TRANSFORMERS, CONFIG);
      const act = file.hidden_act;
      if (act !== undefined && !KNOWN_ACTIVATIONS.includes(act)) {
        throw unsupported('hidden_act', KNOWN_ACTIVATIONS.join(' or '), act, kinds);
      }
      const isSame = file.model_type === 'efficientnet' || file.tf_padding !== false;
      return {
        imageSize: file.image_size,
        classes: file.num_labels,
        padding: isSame ? 'same' : 'symmetric',
        eps: file.layer_norm_eps ?? file.batch_norm_eps ?? 1e-3,
        // transformers' own is turned about (0.997 of the new value); nobody trains with it.
        momentum: 0.1,
      };
    }
    case 'timm': {
      const { architecture = '', imageSize, classes } = timmFacts(said.file);
      const library = architecture.startsWith('tf_') ? TENSORFLOW : PYTORCH;
      return { imageSize, classes, ...library };
    }
    case 'words': {
      const library = naming === 'hugging-face' ? TENSORFLOW : own;
      return { imageSize: undefined, classes: undefined, ...library };
    }
    case 'thimble':
    case 'arch':
      return { imageSize: undefined, classes: undefined, ...own };
    default:
      return said satisfies never;
  }
}
