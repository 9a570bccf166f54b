/** What tensor names tell of convolutional networks that Thimble does not have. */
import type { Reasons } from './reasons.js';

export const CONVOLUTION_REASONS: Reasons = {
  strange: [
    [/^conv1\.\d\./, 'a stem of several convolutions'],
    [/downsample\.2\./, 'average pools in shortcuts'],
    [/attn|mqa|query/, 'attention'],
    [/\.ls\d?\.|layer_scale/, 'layer scale'],
    [/conv_exp|conv_s2d|\.dw_start\./, 'convolutions in other places of a block'],
    [/\.moments?\.|ema/, 'averages of weights'],
  ],
  misplaced: [
    [/\.se\.|squeeze/, 'squeeze-excitation'],
    [/running_mean|running_var|\.bn\d\./, 'batch norm'],
    [/\.bias$/, 'biases of convolutions'],
  ],
  absent: [
    [/running_(mean|var)$/, 'running statistics'],
    [/\.se\./, 'squeeze-excitation'],
    [/\.bn\d\.|\.norm/, 'batch norm'],
    [/conv.*\.bias$/, 'biases of convolutions whose batch norm is folded'],
  ],
};
