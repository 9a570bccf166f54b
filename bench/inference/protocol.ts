/**
 * What the inference benchmark says to its contestants, JSON lines as in harness/step-protocol.ts:
 *
 *   InferenceConfig                →  {"ready": true, "version"}
 *   {"infer": {"batch", "repeat"}} →  {"ms": [repeat], "logits": [batch · classes],
 *                                      "rssPeakBytes"}
 *
 * A pass starts with pixels in the caller's memory and ends with logits there. Peers in Python get
 * a StepConfig with the same weights and images instead.
 */
export interface InferenceConfig {
  /** thimble: a safetensors with our metadata; onnxruntime-node: an ONNX file. */
  readonly runner: 'thimble' | 'onnxruntime-node';
  readonly model: string;
  /** Path of a safetensors with `images` F32 [8, 3, S, S]. */
  readonly data: string;
  readonly side: number;
  readonly threads: number;
}

export interface InferenceRequest {
  readonly infer: { readonly batch: number; readonly repeat: number };
}

/** Images of one forward pass. */
export const BATCHES = [1, 8] as const;
