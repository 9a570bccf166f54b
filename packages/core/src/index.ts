/** The public API of @thimble/core: an explicit list. */
export * from './errors.js';
export type {
  Checkpointed,
  Graph,
  Initial,
  Mode,
  ModelGraph,
  Node,
  Factor,
  Operands,
  Parameter,
  Params,
  ProductGradient,
  StateOf,
  Source,
  TrainGraph,
  Value,
  ValueId,
} from './ir/graph.js';
export { checkpointed, isCheckpointed, isParameter, leaves, parameters } from './ir/graph.js';
export { bytesIn, hostArray, sameContents, type HostArray } from './ir/host.js';
export { bytesOf, elements, f32, i32, i8, typeText } from './ir/types.js';
export type { DType, Shape, TensorType } from './ir/types.js';
export { printGraph } from './ir/print.js';
export { verify } from './ir/verify.js';
export { OPS, opcodeOf, opNamed, type OpName } from './ops/index.js';
export { isOptional, operandName } from './ops/op.js';
export type { Bag, Emitter, GradContext, Op, Sample, SampleTensor } from './ops/op.js';
export { GraphBuilder } from './ops/builder.js';
export { differentiate } from './autodiff.js';
export { compile, compileGraphs, compilePhases } from './compile.js';
export type { CompiledPhase, CompileOptions, ModelBuilder, Stage } from './compile.js';
export { plan, type EntryGraph } from './plan/plan.js';
export {
  backwardStart,
  checkBudget,
  liveTimeline,
  megabytes,
  memoryReport,
  residents,
  savedSlots,
  stepFlops,
} from './plan/report.js';
export type { MemoryReport, Resident } from './plan/report.js';
export { paperCosts, paperLayers, paperReport, tuckerElements } from './report/paper.js';
export type { PaperCosts, PaperLayer, PaperReport } from './report/paper.js';
export { breakdown, type Breakdown } from './report/breakdown.js';
export { profileRows } from './report/profile.js';
export type { ProfiledEntry, ProfileRow, ProfileRows } from './report/profile.js';
export {
  ALIGNMENT,
  encodeEntry,
  entryFlops,
  entryNamed,
  hostSlots,
  plannedBytes,
  optimizerText,
  printProgram,
  rateInput,
  stepTypes,
  updateEntries,
} from './program.js';
export { parseProgram, serializeProgram } from './program-file.js';
export type {
  Cue,
  Entry,
  OptimizerRecord,
  Program,
  Slot,
  SlotRole,
  Step,
  Training,
} from './program.js';
export { narrow } from './passes/narrow.js';
export { prune } from './passes/prune.js';
export { SAVED_FORMS, type SavedForm } from './passes/saved.js';
export {
  checkFound,
  methodReader,
  METHODS,
  parseMethod,
  PLAIN_METHOD,
  SMALLEST_METHOD,
  type MethodName,
} from './methods/index.js';
export { bind } from './methods/method.js';
export type {
  BoundMethod,
  BoundOption,
  BoundPhase,
  Carry,
  Claims,
  Method,
  MethodEntry,
  MethodPhase,
  OpenOption,
  OptionAxis,
} from './methods/method.js';
export { compose } from './methods/compose.js';
export { foundRanks, foundReader, type Found, type Probe } from './methods/found.js';
export { mergedWeights, type MergedTensor } from './methods/merge.js';
export { sumWithProduct } from './methods/product.js';
export { trainOnly } from './methods/trainable.js';
export type { WeightForm } from './ir/weight-form.js';
export { isTrained, linears, type Linear, type LinearForm } from './methods/linears.js';
export { NO_RANKS, ranksReader } from './methods/ranks.js';
export type {
  ActivationNeed,
  Layers,
  Ranks,
  Refresh,
  Truncation,
  WeightNeed,
} from './methods/ranks.js';
export type { MomentumBits } from './optim/momentum.js';
export { narrowedLinears, savesWork, type CompressedLinear } from './methods/tucker-cost.js';
export { sgd, type SgdSettings } from './optim/sgd.js';
export { adamw, type AdamWSettings } from './optim/adamw.js';
export { OPTIMIZERS, type OptimizerName, type OptimizerOptions } from './optim/index.js';
export type { LowRankPair, PairGradient, Product, Sides, Tangent } from './optim/low-rank.js';
export type { Optimizer } from './optim/optimizer.js';
export type { GivenGradient, RateGroup, UpdateRule } from './optim/rule.js';
export {
  buildModel,
  FAMILIES,
  familyOf,
  imageSizeRule,
  modelConfig,
  modelReader,
  MODELS,
  type FamilyName,
  type ModelConfig,
  type ModelName,
} from './models/index.js';
export type { Family } from './models/family.js';
export { statisticsOf, type BatchNormStatistics, type BuildOptions } from './models/options.js';
export { mobileNet } from './models/mobilenet/model.js';
export { MOBILENET_PRESETS } from './models/mobilenet/presets.js';
export type {
  MobileNetBlock,
  MobileNetConfig,
  MobileNetLayer,
  MobileNetSqueeze,
} from './models/mobilenet/schema.js';
export { resNet } from './models/resnet/model.js';
export { RESNET_PRESETS } from './models/resnet/presets.js';
export type { ResNetConfig } from './models/resnet/schema.js';
export { swin, type SwinConfig } from './models/swin/model.js';
export { SWIN_PRESETS } from './models/swin/presets.js';
export { vit, prefixTokens, tokenCount, type VitConfig } from './models/vit/model.js';
export { VIT_PRESETS } from './models/vit/presets.js';
export { initialContents, initialValues } from './nn/initialise.js';
export { checkedThreads, hostWords, loadedContents } from './executors/executor.js';
export { loadChecked, type Backend } from './executors/checked.js';
export type {
  Executor,
  ExecutorKind,
  HostData,
  LoadOptions,
  PeakMeter,
} from './executors/executor.js';
export { peakMeter, type PeakRate } from './executors/peaks.js';
export { NullExecutor, nullExecutor } from './executors/null/index.js';
export { referenceExecutor } from './executors/reference/index.js';
export { wasmExecutor, wasmVariants } from './executors/wasm/index.js';
export type { WasmExecutorKind, WasmLoadOptions, WasmVariant } from './executors/wasm/index.js';
export * as schema from './schema/index.js';
export * from './formats/index.js';
export * from './data/index.js';
export { firstNotFinite } from './finite.js';
export { lookUp, nearest } from './names.js';
export { Random } from './random.js';
export { cosine, type CosineOptions, type Schedule } from './train/schedule.js';
export {
  argmax,
  checkedLogits,
  crossEntropy,
  evaluate,
  predictLogits,
  softmax,
} from './train/evaluate.js';
export type { Evaluation } from './train/evaluate.js';
export type { Batch, Batches } from './train/batch.js';
export {
  fitPositions,
  initialise,
  loadWeights,
  matchWeights,
  readWeights,
} from './train/weights.js';
export type {
  ElementPlace,
  IntegerArray,
  IntegerDType,
  LoadReport,
  ReadTensor,
  TensorData,
  WeightMatch,
  WeightSource,
} from './train/weights.js';
export * from './checkpoints/index.js';
export { storedRanks } from './train/factors.js';
export { Session } from './train/session.js';
export type { SessionOptions, StartOptions } from './train/session.js';
export { progressReader } from './train/snapshot.js';
export type { Progress, SessionTensor, Snapshot, SnapshotTensor } from './train/snapshot.js';
export { train } from './train/loop.js';
export { median } from './train/statistics.js';
export type { EpochEvent, StepEvent, TrainEvent, TrainOptions, TrainResult } from './train/loop.js';
export * from './prepare/index.js';
export * from './unlearn/index.js';
