/**
 * An ONNX model as the bytes of its file, in parts: the size of everything is known from the
 * shapes, so that each tensor is read when its turn comes and never two are held.
 *
 * Protocol buffers nest by length: a message is preceded by its size. The file is
 *
 *   ModelProto: head · tag and size of GraphProto · graph without tensors · tensors · (end)
 *
 * Fields may come in any order, so everything small comes first. Known limit: protocol buffers end
 * at 2 GiB; ONNX's external data, which goes beyond, is not written.
 */
import { FormatError } from '@thimble/core';
import { PbfWriter } from 'pbf';
import {
  ATTRIBUTE,
  ATTRIBUTE_TYPE,
  DATA_TYPE,
  DIMENSION,
  GRAPH,
  MODEL,
  NODE,
  OPERATOR_SET,
  SHAPE,
  STRING_PAIR,
  TENSOR,
  TENSOR_TYPE,
  TYPE,
  VALUE_INFO,
} from './fields.js';
import {
  dataBytes,
  IR_VERSION,
  MICROSOFT,
  OPSET,
  type Attribute,
  type Initializer,
  type OnnxGraph,
  type OnnxModel,
  type OnnxNode,
  type ValueInfo,
} from './graph.js';

/** A file larger than this is no valid protocol buffer: sizes are signed 32-bit numbers. */
export const MAX_BYTES = 2 ** 31 - 1;

/** Wire type of everything that has a length. */
const LENGTH_DELIMITED = 2;

/** A file whose parts can be written one after the other. */
export interface OnnxFile {
  readonly bytes: number;
  /** Each part is valid until the next one is asked for. */
  parts(): Iterable<Uint8Array>;
}

/** Throws FormatError for a model of 2 GiB or more, before any tensor is read. */
export function encodeOnnx(model: OnnxModel): OnnxFile {
  const heads = model.graph.initializers.map(tensorHead);
  const small = message((writer) => {
    writeGraph(writer, model);
  });
  const inGraph = model.graph.initializers.reduce(
    (sum, tensor, index) => sum + heads[index].byteLength + dataBytes(tensor),
    small.byteLength,
  );
  const head = message((writer) => {
    writeModel(writer, model);
    writer.writeTag(MODEL.graph, LENGTH_DELIMITED);
    writer.writeVarint(inGraph);
  });
  const bytes = head.byteLength + inGraph;
  checkSize(model.name, bytes);
  return {
    bytes,
    *parts() {
      yield head;
      yield small;
      for (const [index, tensor] of model.graph.initializers.entries()) {
        yield heads[index];
        yield tensorData(tensor);
      }
    },
  };
}

function checkSize(name: string, bytes: number): void {
  if (bytes <= MAX_BYTES) return;
  throw new FormatError({
    where: `ONNX file of ${name}`,
    expected: `at most ${String(MAX_BYTES)} bytes, where protocol buffers end`,
    got: `${String(bytes)} bytes`,
    todo: 'Export as onnx-fp16 or onnx-int8, which are smaller, or as safetensors',
  });
}

function message(write: (writer: PbfWriter) => void): Uint8Array {
  const writer = new PbfWriter();
  write(writer);
  return writer.finish();
}

function writeModel(writer: PbfWriter, model: OnnxModel): void {
  writer.writeVarintField(MODEL.irVersion, IR_VERSION);
  writer.writeStringField(MODEL.producerName, 'thimble');
  writer.writeStringField(MODEL.producerVersion, model.producerVersion);
  writer.writeMessage(MODEL.opsetImport, writeOperatorSet, { domain: '', version: OPSET });
  if (model.graph.nodes.some(({ domain }) => domain !== undefined)) {
    writer.writeMessage(MODEL.opsetImport, writeOperatorSet, { domain: MICROSOFT, version: 1 });
  }
  for (const pair of model.metadata) writer.writeMessage(MODEL.metadataProps, writePair, pair);
}

function writeOperatorSet(
  { domain, version }: { readonly domain: string; readonly version: number },
  writer: PbfWriter,
): void {
  writer.writeStringField(OPERATOR_SET.domain, domain);
  writer.writeVarintField(OPERATOR_SET.version, version);
}

function writePair([key, value]: readonly [string, string], writer: PbfWriter): void {
  writer.writeStringField(STRING_PAIR.key, key);
  writer.writeStringField(STRING_PAIR.value, value);
}

/** Everything of the graph but its tensors. */
function writeGraph(writer: PbfWriter, { name, graph }: { name: string; graph: OnnxGraph }): void {
  for (const node of graph.nodes) writer.writeMessage(GRAPH.node, writeNode, node);
  writer.writeStringField(GRAPH.name, name);
  for (const value of graph.inputs) writer.writeMessage(GRAPH.input, writeValue, value);
  for (const value of graph.outputs) writer.writeMessage(GRAPH.output, writeValue, value);
}

function writeNode(node: OnnxNode, writer: PbfWriter): void {
  for (const input of node.inputs) writer.writeStringField(NODE.input, input);
  for (const output of node.outputs) writer.writeStringField(NODE.output, output);
  writer.writeStringField(NODE.name, node.name);
  writer.writeStringField(NODE.opType, node.op);
  if (node.domain !== undefined) writer.writeStringField(NODE.domain, node.domain);
  for (const entry of Object.entries(node.attributes)) {
    writer.writeMessage(NODE.attribute, writeAttribute, entry);
  }
}

function writeAttribute([name, attribute]: [string, Attribute], writer: PbfWriter): void {
  writer.writeStringField(ATTRIBUTE.name, name);
  switch (attribute.kind) {
    case 'int':
      writer.writeVarintField(ATTRIBUTE.int, attribute.value);
      break;
    case 'float':
      writer.writeFloatField(ATTRIBUTE.float, attribute.value);
      break;
    case 'ints':
      for (const value of attribute.value) writer.writeVarintField(ATTRIBUTE.ints, value);
      break;
    default:
      attribute satisfies never;
  }
  writer.writeVarintField(ATTRIBUTE.type, ATTRIBUTE_TYPE[attribute.kind]);
}

function writeValue({ name, type, shape }: ValueInfo, writer: PbfWriter): void {
  writer.writeStringField(VALUE_INFO.name, name);
  writer.writeMessage(
    VALUE_INFO.type,
    (_, typeWriter) => {
      typeWriter.writeMessage(
        TYPE.tensorType,
        (__, tensor) => {
          tensor.writeVarintField(TENSOR_TYPE.elementType, DATA_TYPE[type]);
          tensor.writeMessage(TENSOR_TYPE.shape, writeShape, shape);
        },
        null,
      );
    },
    null,
  );
}

function writeShape(shape: ValueInfo['shape'], writer: PbfWriter): void {
  for (const extent of shape) {
    writer.writeMessage(
      SHAPE.dim,
      (value: number | string, inner) => {
        if (typeof value === 'string') inner.writeStringField(DIMENSION.param, value);
        else inner.writeVarintField(DIMENSION.value, value);
      },
      extent,
    );
  }
}

/** A TensorProto up to its data, with tag and size in front. */
function tensorHead(tensor: Initializer): Uint8Array {
  const { name, type, shape } = tensor;
  const data = dataBytes(tensor);
  const inner = message((writer) => {
    for (const extent of shape) writer.writeVarintField(TENSOR.dims, extent);
    writer.writeVarintField(TENSOR.dataType, DATA_TYPE[type]);
    writer.writeStringField(TENSOR.name, name);
    writer.writeTag(TENSOR.rawData, LENGTH_DELIMITED);
    writer.writeVarint(data);
  });
  const outer = message((writer) => {
    writer.writeTag(GRAPH.initializer, LENGTH_DELIMITED);
    writer.writeVarint(inner.byteLength + data);
  });
  const head = new Uint8Array(outer.byteLength + inner.byteLength);
  head.set(outer);
  head.set(inner, outer.byteLength);
  return head;
}

/** Little-endian, as ONNX wants it and every machine that runs Thimble has it. */
function tensorData(tensor: Initializer): Uint8Array {
  const data = tensor.read();
  if (data.byteLength === dataBytes(tensor)) {
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
  throw new FormatError({
    where: `tensor ${tensor.name}`,
    expected: `${tensor.type}[${tensor.shape.join(',')}], ${String(dataBytes(tensor))} bytes`,
    got: `${String(data.byteLength)} bytes`,
    todo: 'Pass as many values as the shape has',
  });
}
