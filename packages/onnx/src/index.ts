/** The public API of @thimble/onnx: an explicit list. */
export {};
