/**
 * The compiler as a whole: printed graphs and programs of the smallest ViT, micro-batches against
 * one large batch, clipping and label smoothing against their definitions, the memory report and
 * the errors. Longer than other files because printed graphs are only readable whole.
 */
import { describe, expect, it } from 'vitest';
import { compile, compileGraphs, type CompileOptions } from '../src/compile.js';
import { BudgetError, ConfigError, GraphError } from '../src/errors.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { parameters } from '../src/ir/graph.js';
import { printGraph } from '../src/ir/print.js';
import { bytesOf } from '../src/ir/types.js';
import { parseMethod } from '../src/methods/index.js';
import { VIT_PRESETS } from '../src/models/vit/presets.js';
import { adamw } from '../src/optim/adamw.js';
import { sgd } from '../src/optim/sgd.js';
import { checkBudget, memoryReport, savedSlots } from '../src/plan/report.js';
import {
  entryFlops,
  entryNamed,
  plannedBytes,
  printProgram,
  type Program,
} from '../src/program.js';
import { predictLogits } from '../src/train/evaluate.js';
import { expectClose, type Tolerance } from './golden.js';
import {
  fixedBatch,
  modelOf,
  randomWeights,
  SMALL,
  started,
  step,
  TINY,
  weightsOf,
  writeScalars,
} from './tiny-vit.js';

/** Sums of the same float64 numbers in another order. */
const REORDERED: Tolerance = { relative: 1e-10, absolute: 1e-12 };
const ONE_BLOCK = { ...TINY, depth: 1 };

describe('printed', () => {
  it('a step of full training', () => {
    const [{ graph }] = compileGraphs({ model: modelOf(ONE_BLOCK), optimizer: sgd(), batch: 2 });
    expect('\n' + printGraph(graph)).toMatchInlineSnapshot(`
      "
      input images: f32[2,1,4,4]
      input labels: i32[2]
      parameter patch_embed.proj.weight: f32[4,1,2,2] trainable
      parameter patch_embed.proj.bias: f32[4] trainable
      parameter cls_token: f32[1,1,4] trainable
      parameter pos_embed: f32[1,5,4] trainable
      parameter blocks.0.norm1.weight: f32[4] trainable
      parameter blocks.0.norm1.bias: f32[4] trainable
      parameter blocks.0.attn.qkv.weight: f32[12,4] trainable
      parameter blocks.0.attn.qkv.bias: f32[12] trainable
      parameter blocks.0.attn.proj.weight: f32[4,4] trainable
      parameter blocks.0.attn.proj.bias: f32[4] trainable
      parameter blocks.0.norm2.weight: f32[4] trainable
      parameter blocks.0.norm2.bias: f32[4] trainable
      parameter blocks.0.mlp.fc1.weight: f32[8,4] trainable
      parameter blocks.0.mlp.fc1.bias: f32[8] trainable
      parameter blocks.0.mlp.fc2.weight: f32[4,8] trainable
      parameter blocks.0.mlp.fc2.bias: f32[4] trainable
      parameter norm.weight: f32[4] trainable
      parameter norm.bias: f32[4] trainable
      parameter head.weight: f32[3,4] trainable
      parameter head.bias: f32[3] trainable
      constant constant: f32[] = 1
      input lr: f32[]
      patch_embed.patches: y f32[2,4,4] = patchify(x: images) {patch: 2, channels: 1, height: 4, width: 4}
      patch_embed.proj: y f32[2,4,4] = matmul(a: patch_embed.patches.y, b: patch_embed.proj.weight, bias: patch_embed.proj.bias) {transB: true}
      class_token: y f32[2,5,4] = concat_tokens(a: cls_token, b: patch_embed.proj.y)
      position: y f32[2,5,4] = add(a: class_token.y, b: pos_embed)
      blocks.0.residual1.tokens: y f32[2,1,4] = slice_tokens(x: position.y) {start: 0, count: 1}
      blocks.0.norm1: y f32[2,5,4], mean f32[2,5], rstd f32[2,5] = layernorm(x: position.y, gamma: blocks.0.norm1.weight, beta: blocks.0.norm1.bias) {eps: 0.000001}
      blocks.0.attn.qkv: y f32[2,5,12] = matmul(a: blocks.0.norm1.y, b: blocks.0.attn.qkv.weight, bias: blocks.0.attn.qkv.bias) {transB: true}
      blocks.0.attn.mix: y f32[2,5,4], lse f32[2,2,5] = attention(qkv: blocks.0.attn.qkv.y) {heads: 2}
      blocks.0.attn.proj.tokens: y f32[2,1,4] = slice_tokens(x: blocks.0.attn.mix.y) {start: 0, count: 1}
      blocks.0.attn.proj: y f32[2,1,4] = matmul(a: blocks.0.attn.proj.tokens.y, b: blocks.0.attn.proj.weight, bias: blocks.0.attn.proj.bias, residual: blocks.0.residual1.tokens.y) {transB: true}
      blocks.0.norm2: y f32[2,1,4], mean f32[2,1], rstd f32[2,1] = layernorm(x: blocks.0.attn.proj.y, gamma: blocks.0.norm2.weight, beta: blocks.0.norm2.bias) {eps: 0.000001}
      blocks.0.mlp.fc1: y f32[2,1,8], pre f32[2,1,8] = matmul(a: blocks.0.norm2.y, b: blocks.0.mlp.fc1.weight, bias: blocks.0.mlp.fc1.bias) {transB: true, gelu: true}
      blocks.0.mlp.fc2: y f32[2,1,4] = matmul(a: blocks.0.mlp.act.fused, b: blocks.0.mlp.fc2.weight, bias: blocks.0.mlp.fc2.bias, residual: blocks.0.attn.proj.y) {transB: true}
      reshape: y f32[2,4] = reshape(x: blocks.0.mlp.fc2.y) {shape: 2,4}
      norm: y f32[2,4], mean f32[2], rstd f32[2] = layernorm(x: reshape.y, gamma: norm.weight, beta: norm.bias) {eps: 0.000001}
      head: y f32[2,3] = matmul(a: norm.y, b: head.weight, bias: head.bias) {transB: true}
      loss: loss f32[] = softmax_cross_entropy(logits: head.y, labels: labels) {smoothing: 0}
      grad.loss.softmax_cross_entropy_grad: dlogits f32[2,3] = softmax_cross_entropy_grad(logits: head.y, labels: labels, dloss: constant) {smoothing: 0}
      grad.head.matmul: y f32[2,4] = matmul(a: grad.loss.softmax_cross_entropy_grad.dlogits, b: head.weight)
      again.norm: y f32[2,4], mean f32[2], rstd f32[2] = layernorm(x: reshape.y, gamma: norm.weight, beta: norm.bias) {eps: 0.000001}
      grad.head.matmul~2: y f32[3,4] = matmul(a: grad.loss.softmax_cross_entropy_grad.dlogits, b: again.norm.y) {transA: true}
      grad.head.sum_rows: y f32[3] = sum_rows(x: grad.loss.softmax_cross_entropy_grad.dlogits) {axes: 1}
      grad.norm.layernorm_grad_input: dx f32[2,4] = layernorm_grad_input(x: reshape.y, gamma: norm.weight, mean: again.norm.mean, rstd: again.norm.rstd, dy: grad.head.matmul.y)
      grad.norm.layernorm_grad_params: dgamma f32[4], dbeta f32[4] = layernorm_grad_params(x: reshape.y, mean: again.norm.mean, rstd: again.norm.rstd, dy: grad.head.matmul.y) {gamma: true, beta: true}
      grad.reshape.reshape: y f32[2,1,4] = reshape(x: grad.norm.layernorm_grad_input.dx) {shape: 2,1,4}
      grad.blocks.0.mlp.fc2.matmul: y f32[2,1,8] = matmul(a: grad.reshape.reshape.y, b: blocks.0.mlp.fc2.weight)
      grad.blocks.0.mlp.act.gelu_grad: dx f32[2,1,8], y f32[2,1,8] = gelu_grad(x: blocks.0.mlp.fc1.y, dy: grad.blocks.0.mlp.fc2.matmul.y) {value: true}
      grad.blocks.0.mlp.fc2.matmul~2: y f32[4,8] = matmul(a: grad.reshape.reshape.y, b: again.blocks.0.mlp.act.value) {transA: true}
      grad.blocks.0.mlp.fc2.sum_rows: y f32[4] = sum_rows(x: grad.reshape.reshape.y) {axes: 2}
      grad.blocks.0.mlp.fc1.matmul: y f32[2,1,4] = matmul(a: grad.blocks.0.mlp.act.gelu_grad.dx, b: blocks.0.mlp.fc1.weight)
      again.blocks.0.norm2: y f32[2,1,4], mean f32[2,1], rstd f32[2,1] = layernorm(x: blocks.0.attn.proj.y, gamma: blocks.0.norm2.weight, beta: blocks.0.norm2.bias) {eps: 0.000001}
      grad.blocks.0.mlp.fc1.matmul~2: y f32[8,4] = matmul(a: grad.blocks.0.mlp.act.gelu_grad.dx, b: again.blocks.0.norm2.y) {transA: true}
      grad.blocks.0.mlp.fc1.sum_rows: y f32[8] = sum_rows(x: grad.blocks.0.mlp.act.gelu_grad.dx) {axes: 2}
      grad.blocks.0.norm2.layernorm_grad_params: dgamma f32[4], dbeta f32[4] = layernorm_grad_params(x: blocks.0.attn.proj.y, mean: again.blocks.0.norm2.mean, rstd: again.blocks.0.norm2.rstd, dy: grad.blocks.0.mlp.fc1.matmul.y) {gamma: true, beta: true}
      grad.blocks.0.norm2.layernorm_grad_input: dx f32[2,1,4] = layernorm_grad_input(x: blocks.0.attn.proj.y, gamma: blocks.0.norm2.weight, mean: again.blocks.0.norm2.mean, rstd: again.blocks.0.norm2.rstd, dy: grad.blocks.0.mlp.fc1.matmul.y, residual: grad.reshape.reshape.y)
      grad.blocks.0.attn.proj.matmul: y f32[2,1,4] = matmul(a: grad.blocks.0.norm2.layernorm_grad_input.dx, b: blocks.0.attn.proj.weight)
      grad.blocks.0.attn.proj.matmul~2: y f32[4,4] = matmul(a: grad.blocks.0.norm2.layernorm_grad_input.dx, b: blocks.0.attn.proj.tokens.y) {transA: true}
      grad.blocks.0.attn.proj.sum_rows: y f32[4] = sum_rows(x: grad.blocks.0.norm2.layernorm_grad_input.dx) {axes: 2}
      grad.blocks.0.attn.proj.tokens.pad_tokens: y f32[2,5,4] = pad_tokens(x: grad.blocks.0.attn.proj.matmul.y) {tokens: 5, start: 0}
      grad.blocks.0.attn.mix.attention_grad: dqkv f32[2,5,12] = attention_grad(qkv: blocks.0.attn.qkv.y, lse: blocks.0.attn.mix.lse, dy: grad.blocks.0.attn.proj.tokens.pad_tokens.y) {heads: 2}
      grad.blocks.0.attn.qkv.matmul: y f32[2,5,4] = matmul(a: grad.blocks.0.attn.mix.attention_grad.dqkv, b: blocks.0.attn.qkv.weight)
      again.blocks.0.norm1: y f32[2,5,4], mean f32[2,5], rstd f32[2,5] = layernorm(x: position.y, gamma: blocks.0.norm1.weight, beta: blocks.0.norm1.bias) {eps: 0.000001}
      grad.blocks.0.attn.qkv.matmul~2: y f32[12,4] = matmul(a: grad.blocks.0.attn.mix.attention_grad.dqkv, b: again.blocks.0.norm1.y) {transA: true}
      grad.blocks.0.attn.qkv.sum_rows: y f32[12] = sum_rows(x: grad.blocks.0.attn.mix.attention_grad.dqkv) {axes: 2}
      grad.blocks.0.norm1.layernorm_grad_params: dgamma f32[4], dbeta f32[4] = layernorm_grad_params(x: position.y, mean: again.blocks.0.norm1.mean, rstd: again.blocks.0.norm1.rstd, dy: grad.blocks.0.attn.qkv.matmul.y) {gamma: true, beta: true}
      grad.blocks.0.residual1.tokens.pad_tokens: y f32[2,5,4] = pad_tokens(x: grad.blocks.0.norm2.layernorm_grad_input.dx) {tokens: 5, start: 0}
      grad.blocks.0.norm1.layernorm_grad_input: dx f32[2,5,4] = layernorm_grad_input(x: position.y, gamma: blocks.0.norm1.weight, mean: again.blocks.0.norm1.mean, rstd: again.blocks.0.norm1.rstd, dy: grad.blocks.0.attn.qkv.matmul.y, residual: grad.blocks.0.residual1.tokens.pad_tokens.y)
      grad.position.sum_rows: y f32[5,4] = sum_rows(x: grad.blocks.0.norm1.layernorm_grad_input.dx) {axes: 1}
      grad.position.reshape: y f32[1,5,4] = reshape(x: grad.position.sum_rows.y) {shape: 1,5,4}
      grad.class_token.slice_tokens: y f32[2,1,4] = slice_tokens(x: grad.blocks.0.norm1.layernorm_grad_input.dx) {start: 0, count: 1}
      grad.class_token.sum_rows: y f32[1,4] = sum_rows(x: grad.class_token.slice_tokens.y) {axes: 1}
      grad.class_token.reshape: y f32[1,1,4] = reshape(x: grad.class_token.sum_rows.y) {shape: 1,1,4}
      grad.class_token.slice_tokens~2: y f32[2,4,4] = slice_tokens(x: grad.blocks.0.norm1.layernorm_grad_input.dx) {start: 1, count: 4}
      grad.patch_embed.proj.matmul: y f32[4,4] = matmul(a: grad.class_token.slice_tokens~2.y, b: patch_embed.patches.y) {transA: true}
      grad.patch_embed.proj.reshape: y f32[4,1,2,2] = reshape(x: grad.patch_embed.proj.matmul.y) {shape: 4,1,2,2}
      grad.patch_embed.proj.sum_rows: y f32[4] = sum_rows(x: grad.class_token.slice_tokens~2.y) {axes: 2}
      update.patch_embed.proj.weight: paramOut f32[4,1,2,2] = sgd(param: patch_embed.proj.weight, grad: grad.patch_embed.proj.reshape.y, lr: lr) {momentum: 0, weightDecay: 0}
      update.patch_embed.proj.bias: paramOut f32[4] = sgd(param: patch_embed.proj.bias, grad: grad.patch_embed.proj.sum_rows.y, lr: lr) {momentum: 0, weightDecay: 0}
      update.cls_token: paramOut f32[1,1,4] = sgd(param: cls_token, grad: grad.class_token.reshape.y, lr: lr) {momentum: 0, weightDecay: 0}
      update.pos_embed: paramOut f32[1,5,4] = sgd(param: pos_embed, grad: grad.position.reshape.y, lr: lr) {momentum: 0, weightDecay: 0}
      update.blocks.0.norm1.weight: paramOut f32[4] = sgd(param: blocks.0.norm1.weight, grad: grad.blocks.0.norm1.layernorm_grad_params.dgamma, lr: lr) {momentum: 0, weightDecay: 0}
      update.blocks.0.norm1.bias: paramOut f32[4] = sgd(param: blocks.0.norm1.bias, grad: grad.blocks.0.norm1.layernorm_grad_params.dbeta, lr: lr) {momentum: 0, weightDecay: 0}
      update.blocks.0.attn.qkv.weight: paramOut f32[12,4] = sgd(param: blocks.0.attn.qkv.weight, grad: grad.blocks.0.attn.qkv.matmul~2.y, lr: lr) {momentum: 0, weightDecay: 0}
      update.blocks.0.attn.qkv.bias: paramOut f32[12] = sgd(param: blocks.0.attn.qkv.bias, grad: grad.blocks.0.attn.qkv.sum_rows.y, lr: lr) {momentum: 0, weightDecay: 0}
      update.blocks.0.attn.proj.weight: paramOut f32[4,4] = sgd(param: blocks.0.attn.proj.weight, grad: grad.blocks.0.attn.proj.matmul~2.y, lr: lr) {momentum: 0, weightDecay: 0}
      update.blocks.0.attn.proj.bias: paramOut f32[4] = sgd(param: blocks.0.attn.proj.bias, grad: grad.blocks.0.attn.proj.sum_rows.y, lr: lr) {momentum: 0, weightDecay: 0}
      update.blocks.0.norm2.weight: paramOut f32[4] = sgd(param: blocks.0.norm2.weight, grad: grad.blocks.0.norm2.layernorm_grad_params.dgamma, lr: lr) {momentum: 0, weightDecay: 0}
      update.blocks.0.norm2.bias: paramOut f32[4] = sgd(param: blocks.0.norm2.bias, grad: grad.blocks.0.norm2.layernorm_grad_params.dbeta, lr: lr) {momentum: 0, weightDecay: 0}
      update.blocks.0.mlp.fc1.weight: paramOut f32[8,4] = sgd(param: blocks.0.mlp.fc1.weight, grad: grad.blocks.0.mlp.fc1.matmul~2.y, lr: lr) {momentum: 0, weightDecay: 0}
      update.blocks.0.mlp.fc1.bias: paramOut f32[8] = sgd(param: blocks.0.mlp.fc1.bias, grad: grad.blocks.0.mlp.fc1.sum_rows.y, lr: lr) {momentum: 0, weightDecay: 0}
      update.blocks.0.mlp.fc2.weight: paramOut f32[4,8] = sgd(param: blocks.0.mlp.fc2.weight, grad: grad.blocks.0.mlp.fc2.matmul~2.y, lr: lr) {momentum: 0, weightDecay: 0}
      update.blocks.0.mlp.fc2.bias: paramOut f32[4] = sgd(param: blocks.0.mlp.fc2.bias, grad: grad.blocks.0.mlp.fc2.sum_rows.y, lr: lr) {momentum: 0, weightDecay: 0}
      update.norm.weight: paramOut f32[4] = sgd(param: norm.weight, grad: grad.norm.layernorm_grad_params.dgamma, lr: lr) {momentum: 0, weightDecay: 0}
      update.norm.bias: paramOut f32[4] = sgd(param: norm.bias, grad: grad.norm.layernorm_grad_params.dbeta, lr: lr) {momentum: 0, weightDecay: 0}
      update.head.weight: paramOut f32[3,4] = sgd(param: head.weight, grad: grad.head.matmul~2.y, lr: lr) {momentum: 0, weightDecay: 0}
      update.head.bias: paramOut f32[3] = sgd(param: head.bias, grad: grad.head.sum_rows.y, lr: lr) {momentum: 0, weightDecay: 0}
      output logits = head.y
      output loss = loss.loss
      "
    `);
  });

  it('a program that trains and evaluates the classifier', () => {
    const program = compile({
      model: modelOf(ONE_BLOCK),
      method: parseMethod('head'),
      optimizer: sgd({ momentum: 0.9 }),
      batch: 2,
      evalBatch: 1,
    });
    expect('\n' + printProgram(program)).toMatchInlineSnapshot(`
      "
      program arena 2816 bytes, persistent 1792, scratch 524288 per thread
      training method head, saved exact, batch 2, micro-batches 1, clip none, sgd {momentum: 0.9, weightDecay: 0, decay: matrices}
        %0 parameter patch_embed.proj.weight: f32[4,1,2,2] @0+64
        %1 parameter patch_embed.proj.bias: f32[4] @64+16
        %2 parameter cls_token: f32[1,1,4] @128+16
        %3 parameter pos_embed: f32[1,5,4] @192+80
        %4 parameter blocks.0.norm1.weight: f32[4] @320+16
        %5 parameter blocks.0.norm1.bias: f32[4] @384+16
        %6 parameter blocks.0.attn.qkv.weight: f32[12,4] @448+192
        %7 parameter blocks.0.attn.qkv.bias: f32[12] @640+48
        %8 parameter blocks.0.attn.proj.weight: f32[4,4] @704+64
        %9 parameter blocks.0.attn.proj.bias: f32[4] @768+16
        %10 parameter blocks.0.norm2.weight: f32[4] @832+16
        %11 parameter blocks.0.norm2.bias: f32[4] @896+16
        %12 parameter blocks.0.mlp.fc1.weight: f32[8,4] @960+128
        %13 parameter blocks.0.mlp.fc1.bias: f32[8] @1088+32
        %14 parameter blocks.0.mlp.fc2.weight: f32[4,8] @1152+128
        %15 parameter blocks.0.mlp.fc2.bias: f32[4] @1280+16
        %16 parameter norm.weight: f32[4] @1344+16
        %17 parameter norm.bias: f32[4] @1408+16
        %18 parameter head.weight: f32[3,4] @1472+48
        %19 parameter head.bias: f32[3] @1536+12
        %20 constant constant f32[] 1: f32[] @1600+4
        %21 state head.weight.velocity: f32[3,4] @1664+48
        %22 state head.bias.velocity: f32[3] @1728+12
        %23 input images: f32[2,1,4,4] @1792+128 step:0-0
        %24 temporary patch_embed.patches.y: f32[2,4,4] @1920+128 step:0-1
        %25 temporary patch_embed.proj.y: f32[2,4,4] @1792+128 step:1-2
        %26 temporary class_token.y: f32[2,5,4] @2304+160 step:2-3
        %27 temporary position.y: f32[2,5,4] @2304+160 step:3-5
        %28 temporary blocks.0.residual1.tokens.y: f32[2,1,4] @2752+32 step:4-9
        %29 temporary blocks.0.norm1.y: f32[2,5,4] @2304+160 step:5-6
        %30 temporary blocks.0.norm1.mean: f32[2,5] @1792+40 step:5-5
        %31 temporary blocks.0.norm1.rstd: f32[2,5] @1856+40 step:5-5
        %32 temporary blocks.0.attn.qkv.y: f32[2,5,12] @1792+480 step:6-7
        %33 temporary blocks.0.attn.mix.y: f32[2,5,4] @2304+160 step:7-8
        %34 temporary blocks.0.attn.mix.lse: f32[2,2,5] @2496+80 step:7-7
        %35 temporary blocks.0.attn.proj.tokens.y: f32[2,1,4] @1792+32 step:8-9
        %36 temporary blocks.0.attn.proj.y: f32[2,1,4] @2752+32 step:9-12
        %37 temporary blocks.0.norm2.y: f32[2,1,4] @1792+32 step:10-11
        %38 temporary blocks.0.norm2.mean: f32[2,1] @1856+8 step:10-10
        %39 temporary blocks.0.norm2.rstd: f32[2,1] @1920+8 step:10-10
        %40 temporary blocks.0.mlp.act.fused: f32[2,1,8] @1856+64 step:11-12
        %41 temporary blocks.0.mlp.fc2.y: f32[2,1,4] @2752+32 step:12-13
        %42 temporary reshape.y: f32[2,4] @2752+32 step:13-14
        %43 saved norm.y: f32[2,4] @2752+32 step:14-18
        %44 temporary norm.mean: f32[2] @1792+8 step:14-14
        %45 temporary norm.rstd: f32[2] @1856+8 step:14-14
        %46 output head.y: f32[2,3] @1984+24 step:15-21
        %47 input labels: i32[2] @2624+8 step:0-17
        %48 output loss.loss: f32[] @2048+4 step:16-21
        %49 temporary grad.loss.softmax_cross_entropy_grad.dlogits: f32[2,3] @2112+24 step:17-20
        %50 gradient grad.head.matmul.y: f32[3,4] @1792+48 step:18-19
        %51 input lr: f32[] @2688+4 step:0-21
        %52 temporary update.head.weight.paramOut: f32[3,4] @1472+48 step:19-19
        %53 temporary update.head.weight.velocityOut: f32[3,4] @1664+48 step:19-19
        %54 gradient grad.head.sum_rows.y: f32[3] @2176+12 step:20-21
        %55 temporary update.head.bias.paramOut: f32[3] @1536+12 step:21-21
        %56 temporary update.head.bias.velocityOut: f32[3] @1728+12 step:21-21
        %57 workspace grad.head.sum_rows.workspace: f32[48] @1792+192 step:20-20
        %58 input images: f32[1,1,4,4] @1792+64 eval:0-0
        %59 temporary patch_embed.patches.y: f32[1,4,4] @1856+64 eval:0-1
        %60 temporary patch_embed.proj.y: f32[1,4,4] @1792+64 eval:1-2
        %61 temporary class_token.y: f32[1,5,4] @2048+80 eval:2-3
        %62 temporary position.y: f32[1,5,4] @2048+80 eval:3-5
        %63 temporary blocks.0.residual1.tokens.y: f32[1,1,4] @2176+16 eval:4-9
        %64 temporary blocks.0.norm1.y: f32[1,5,4] @2048+80 eval:5-6
        %65 temporary blocks.0.norm1.mean: f32[1,5] @1792+20 eval:5-5
        %66 temporary blocks.0.norm1.rstd: f32[1,5] @1856+20 eval:5-5
        %67 temporary blocks.0.attn.qkv.y: f32[1,5,12] @1792+240 eval:6-7
        %68 temporary blocks.0.attn.mix.y: f32[1,5,4] @2048+80 eval:7-8
        %69 temporary blocks.0.attn.mix.lse: f32[1,2,5] @2240+40 eval:7-7
        %70 temporary blocks.0.attn.proj.tokens.y: f32[1,1,4] @1792+16 eval:8-9
        %71 temporary blocks.0.attn.proj.y: f32[1,1,4] @2176+16 eval:9-12
        %72 temporary blocks.0.norm2.y: f32[1,1,4] @1792+16 eval:10-11
        %73 temporary blocks.0.norm2.mean: f32[1,1] @1856+4 eval:10-10
        %74 temporary blocks.0.norm2.rstd: f32[1,1] @1920+4 eval:10-10
        %75 temporary blocks.0.mlp.act.fused: f32[1,1,8] @1856+32 eval:11-12
        %76 temporary blocks.0.mlp.fc2.y: f32[1,1,4] @2176+16 eval:12-13
        %77 temporary reshape.y: f32[1,4] @2176+16 eval:13-14
        %78 temporary norm.y: f32[1,4] @2176+16 eval:14-15
        %79 temporary norm.mean: f32[1] @1792+4 eval:14-14
        %80 temporary norm.rstd: f32[1] @1856+4 eval:14-14
        %81 output head.y: f32[1,3] @1792+12 eval:15-15
      entry step
        0 y: %24 = patchify(x: %23) {patch: 2, channels: 1, height: 4, width: 4}
        1 y: %25 = matmul(a: %24, b: %0, bias: %1) {transB: true}
        2 y: %26 = concat_tokens(a: %2, b: %25)
        3 y: %27 = add(a: %26, b: %3)
        4 y: %28 = slice_tokens(x: %27) {start: 0, count: 1}
        5 y: %29, mean: %30, rstd: %31 = layernorm(x: %27, gamma: %4, beta: %5) {eps: 0.000001}
        6 y: %32 = matmul(a: %29, b: %6, bias: %7) {transB: true}
        7 y: %33, lse: %34 = attention(qkv: %32) {heads: 2}
        8 y: %35 = slice_tokens(x: %33) {start: 0, count: 1}
        9 y: %36 = matmul(a: %35, b: %8, bias: %9, residual: %28) {transB: true}
        10 y: %37, mean: %38, rstd: %39 = layernorm(x: %36, gamma: %10, beta: %11) {eps: 0.000001}
        11 y: %40 = matmul(a: %37, b: %12, bias: %13) {transB: true, gelu: true}
        12 y: %41 = matmul(a: %40, b: %14, bias: %15, residual: %36) {transB: true}
        13 y: %42 = reshape(x: %41) {shape: 2,4}
        14 y: %43, mean: %44, rstd: %45 = layernorm(x: %42, gamma: %16, beta: %17) {eps: 0.000001}
        15 y: %46 = matmul(a: %43, b: %18, bias: %19) {transB: true}
        16 loss: %48 = softmax_cross_entropy(logits: %46, labels: %47) {smoothing: 0}
        17 dlogits: %49 = softmax_cross_entropy_grad(logits: %46, labels: %47, dloss: %20) {smoothing: 0}
        18 y: %50 = matmul(a: %49, b: %43) {transA: true}
        19 paramOut: %52, velocityOut: %53 = sgd(param: %18, grad: %50, lr: %51, velocity: %21) {momentum: 0.9, weightDecay: 0}
        20 y: %54 = sum_rows(x: %49) {axes: 1}
        21 paramOut: %55, velocityOut: %56 = sgd(param: %19, grad: %54, lr: %51, velocity: %22) {momentum: 0.9, weightDecay: 0}
      entry eval
        0 y: %59 = patchify(x: %58) {patch: 2, channels: 1, height: 4, width: 4}
        1 y: %60 = matmul(a: %59, b: %0, bias: %1) {transB: true}
        2 y: %61 = concat_tokens(a: %2, b: %60)
        3 y: %62 = add(a: %61, b: %3)
        4 y: %63 = slice_tokens(x: %62) {start: 0, count: 1}
        5 y: %64, mean: %65, rstd: %66 = layernorm(x: %62, gamma: %4, beta: %5) {eps: 0.000001}
        6 y: %67 = matmul(a: %64, b: %6, bias: %7) {transB: true}
        7 y: %68, lse: %69 = attention(qkv: %67) {heads: 2}
        8 y: %70 = slice_tokens(x: %68) {start: 0, count: 1}
        9 y: %71 = matmul(a: %70, b: %8, bias: %9, residual: %63) {transB: true}
        10 y: %72, mean: %73, rstd: %74 = layernorm(x: %71, gamma: %10, beta: %11) {eps: 0.000001}
        11 y: %75 = matmul(a: %72, b: %12, bias: %13) {transB: true, gelu: true}
        12 y: %76 = matmul(a: %75, b: %14, bias: %15, residual: %71) {transB: true}
        13 y: %77 = reshape(x: %76) {shape: 1,4}
        14 y: %78, mean: %79, rstd: %80 = layernorm(x: %77, gamma: %16, beta: %17) {eps: 0.000001}
        15 y: %81 = matmul(a: %78, b: %18, bias: %19) {transB: true}
      "
    `);
  });

  it('the update from accumulated gradients, clipped', () => {
    const graphs = compileGraphs({
      model: modelOf(ONE_BLOCK),
      method: parseMethod('head'),
      optimizer: adamw({ weightDecay: 0.05 }),
      batch: 2,
      microBatches: 2,
      clipNorm: 1,
    });
    expect(graphs.map(({ name }) => name)).toEqual(['micro', 'apply', 'eval']);
    expect('\n' + printGraph(graphs[1].graph)).toMatchInlineSnapshot(`
      "
      parameter head.weight: f32[3,4] trainable
      state head.weight.gradient: f32[3,4]
      parameter head.bias: f32[3] trainable
      state head.bias.gradient: f32[3]
      input lr: f32[]
      input correction: f32[2]
      constant constant: f32[] = 0
      state head.weight.m: f32[3,4]
      state head.weight.v: f32[3,4]
      state head.bias.m: f32[3]
      state head.bias.v: f32[3]
      clip.head.weight: y f32[] = sum_squares(x: head.weight.gradient, total: constant)
      clip.head.bias: y f32[] = sum_squares(x: head.bias.gradient, total: clip.head.weight.y)
      clip.scale: scale f32[] = clip_scale(total: clip.head.bias.y) {maxNorm: 1}
      update.head.weight: paramOut f32[3,4], mOut f32[3,4], vOut f32[3,4] = adamw(param: head.weight, grad: head.weight.gradient, m: head.weight.m, v: head.weight.v, lr: lr, correction: correction, scale: clip.scale.scale) {beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.05}
      update.head.bias: paramOut f32[3], mOut f32[3], vOut f32[3] = adamw(param: head.bias, grad: head.bias.gradient, m: head.bias.m, v: head.bias.v, lr: lr, correction: correction, scale: clip.scale.scale) {beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0}
      clear.head.weight: y f32[3,4] = fill(x: head.weight.gradient) {value: 0}
      clear.head.bias: y f32[3] = fill(x: head.bias.gradient) {value: 0}
      output squaredGradientNorm = clip.head.bias.y
      "
    `);
  });
});

describe('micro-batches', () => {
  it.each([
    ['plain SGD', sgd({ weightDecay: 0.01 }), {}],
    // The biases of keys have no gradient; a large eps keeps AdamW from blowing up its rounding.
    ['clipped AdamW', adamw({ eps: 1e-3 }), { clipNorm: 0.1 }],
  ] as const)('%s: two of two images are a batch of four', async (_title, optimizer, clipping) => {
    const model = modelOf(SMALL, 0.1);
    const { images, labels } = fixedBatch(SMALL, 4);
    const options = { model, optimizer, evalBatch: 0, ...clipping };
    const large = await started(referenceExecutor, compile({ ...options, batch: 4 }), model(4));
    const program = compile({ ...options, batch: 2, microBatches: 2 });
    const small = await started(referenceExecutor, program, model(2));
    for (let number = 1; number <= 3; number++) {
      await step(large, optimizer, number, 0.1, { images, labels, real: 4 });
      for (const half of [0, 1]) {
        const pixels = images.length / 2;
        small.write('micro.images', images.slice(half * pixels, (half + 1) * pixels));
        small.write('micro.labels', labels.slice(half * 2, half * 2 + 2));
        await small.run('micro');
      }
      writeScalars(small, 'apply', optimizer, number, 0.1);
      await small.run('apply');
    }
    const want = await weightsOf(large, model(4));
    const got = await weightsOf(small, model(2));
    for (const [name, data] of Object.entries(want)) expectClose(got[name], data, REORDERED, name);
    const accumulators = program.slots.filter((slot) => slot.name.endsWith('.gradient'));
    expect(accumulators).toHaveLength(parameters(model(2).graph).length);
    for (const { name } of accumulators) {
      expect(
        (await small.read(name)).every((element) => element === 0),
        name,
      ).toBe(true);
    }
  });
});

describe('evaluation', () => {
  it('reads the weights of training, for its own batch size', async () => {
    const model = modelOf(SMALL);
    const program = compile({ model, optimizer: sgd(), batch: 4, evalBatch: 2 });
    const executor = await started(referenceExecutor, program, model(4));
    const { images, labels } = fixedBatch(SMALL, 4);
    await step(executor, sgd(), 1, 0.1, { images, labels, real: 4 });
    await step(executor, sgd(), 2, 0, { images, labels, real: 4 });
    const want = await executor.read('step.logits');
    const pixels = images.length / 2;
    for (const half of [0, 1]) {
      const part = images.slice(half * pixels, (half + 1) * pixels);
      const got = await predictLogits(executor, part);
      expect(got).toEqual(want.slice(half * 10, half * 10 + 10));
    }
    const names = program.slots.filter((slot) => slot.entry === null).map((slot) => slot.name);
    expect(new Set(names).size).toBe(names.length);
  });

  it('is left out, or stands alone, on request', () => {
    const entries = (options: Partial<CompileOptions>) =>
      compile({ model: modelOf(TINY), batch: 2, ...options }).entries.map(({ name }) => name);
    expect(entries({ optimizer: sgd(), evalBatch: 0 })).toEqual(['step']);
    expect(entries({})).toEqual(['eval']);
    expect(entries({ optimizer: sgd(), microBatches: 3 })).toEqual(['micro', 'apply', 'eval']);
  });
});

describe('clipping', () => {
  it.each([0.05, 1e6])('to a norm of %s is what clip_grad_norm_ does', async (clipNorm) => {
    const model = modelOf(SMALL);
    const batch = fixedBatch(SMALL, 2);
    const after = async (options: { readonly clipNorm?: number }) => {
      const program = compile({ model, optimizer: sgd(), batch: 2, evalBatch: 0, ...options });
      const executor = await started(referenceExecutor, program, model(2));
      await step(executor, sgd(), 1, 1, batch);
      return { executor, weights: await weightsOf(executor, model(2)) };
    };
    const before = randomWeights(model(2));
    const plain = await after({});
    const clipped = await after({ clipNorm });
    // With learning rate 1 the gradient is what the step took off.
    let squares = 0;
    for (const [name, start] of before) {
      start.forEach((x, i) => (squares += (x - plain.weights[name][i]) ** 2));
    }
    const [total] = await clipped.executor.read('step.squaredGradientNorm');
    expect(total / squares).toBeCloseTo(1, 12);
    expect(Math.sqrt(squares)).toBeGreaterThan(0.05);
    const scale = Math.min(1, clipNorm / (Math.sqrt(squares) + 1e-6));
    for (const [name, start] of before) {
      const want = Float64Array.from(start, (x, i) => x - scale * (x - plain.weights[name][i]));
      expectClose(clipped.weights[name], want, REORDERED, name);
    }
  });
});

describe('label smoothing', () => {
  it('is cross-entropy against (1 − s)·one-hot + s/C', async () => {
    const smoothing = 0.3;
    const model = modelOf(SMALL, smoothing);
    const batch = fixedBatch(SMALL, 3);
    const program = compile({ model, optimizer: sgd(), batch: 3 });
    const executor = await started(referenceExecutor, program, model(3));
    const loss = await step(executor, sgd(), 1, 0, batch);
    const logits = await executor.read('step.logits');
    let want = 0;
    for (let row = 0; row < 3; row++) {
      const scores = [...logits.slice(row * 5, row * 5 + 5)];
      const total = scores.reduce((sum, score) => sum + Math.exp(score), 0);
      scores.forEach((score, label) => {
        const target = (label === batch.labels[row] ? 1 - smoothing : 0) + smoothing / 5;
        want -= (target * Math.log(Math.exp(score) / total)) / 3;
      });
    }
    expectClose([loss], [want], REORDERED, 'loss');
  });
});

describe('the memory report', () => {
  const small = modelOf(SMALL);
  const weights = parameters(small(2).graph).reduce((sum, { type }) => sum + bytesOf(type), 0);
  const head = 4 * (12 + 1) * 5;
  const report = (options: Partial<CompileOptions>, threads = 1) => {
    const program = compile({
      model: small,
      optimizer: adamw(),
      batch: 2,
      evalBatch: 0,
      ...options,
    });
    return { program, ...memoryReport(program, threads) };
  };

  it('counts weights, optimiser state and accumulators to the byte', () => {
    expect(weights).toBe(4 * 6461);
    expect(report({})).toMatchObject({ weightBytes: weights, optimizerBytes: 2 * weights });
    expect(report({ optimizer: sgd() })).toMatchObject({ weightBytes: weights, optimizerBytes: 0 });
    expect(report({ microBatches: 2 }).optimizerBytes).toBe(3 * weights);
    const { optimizerBytes, weightBytes } = report({
      method: parseMethod('head'),
      microBatches: 2,
    });
    expect([weightBytes, optimizerBytes]).toEqual([weights, 3 * head]);
  });

  it('adds up to the planned bytes, with scratch for every thread', () => {
    for (const threads of [1, 4]) {
      const { program, ...bytes } = report({}, threads);
      const { weightBytes, optimizerBytes, savedBytes, transientBytes, scratchBytes } = bytes;
      expect(scratchBytes).toBe(threads * program.scratchBytes);
      expect(bytes.peakBytes).toBe(plannedBytes(program, threads));
      expect(weightBytes + optimizerBytes + savedBytes + transientBytes).toBe(bytes.peakBytes);
      expect(transientBytes - scratchBytes).toBeGreaterThan(0);
      expect(transientBytes - scratchBytes).toBeLessThan(savedBytes);
    }
  });

  it('finds the same saved tensors with clipping as without', () => {
    const names = ({ program }: { program: Program }, entry: string) =>
      savedSlots(program, entryNamed(program, entry)).map((slot) => slot.name);
    const plain = report({});
    expect(names(plain, 'step')).toHaveLength(1 + 3 * 6 + 1);
    expect(names(report({ clipNorm: 1 }), 'step')).toEqual(names(plain, 'step'));
    expect(report({ clipNorm: 1 }).savedBytes).toBe(plain.savedBytes);
    expect(names(report({ clipNorm: 1, microBatches: 2 }), 'micro')).toEqual(names(plain, 'step'));
    expect(names(report({ clipNorm: 1, microBatches: 2 }), 'apply')).toEqual([]);
  });

  it('counts the operations of training and not those of evaluation', () => {
    const program = compile({ model: small, optimizer: sgd(), batch: 2, microBatches: 2 });
    const [micro, apply, evaluation] = program.entries.map((entry) => entryFlops(program, entry));
    expect(evaluation).toBeGreaterThan(0);
    expect(memoryReport(program, 1).flopsPerStep).toBe(2 * micro + apply);
    // Of SGD five for each parameter; clearing the accumulators is none.
    expect(apply).toBe(5 * 6461);
  });

  it('names the largest tensors when the plan exceeds the budget', () => {
    const model = modelOf({ ...VIT_PRESETS['vit-micro'], classes: 10 });
    const program = compile({ model, optimizer: sgd(), batch: 32, evalBatch: 0 });
    const check = (budget: number) => () => {
      checkBudget(program, 2, budget);
    };
    expect(check(plannedBytes(program, 2))).not.toThrow();
    expect(check(plannedBytes(program, 2) - 1)).toThrow(BudgetError);
    expect(messageOf(check(64e6))).toMatchInlineSnapshot(
      `"memory plan: expected at most 64.0 MB, got 68.3 MB; largest: blocks.0.mlp.fc1.y 4.26 MB, blocks.1.mlp.fc1.y 4.26 MB, blocks.2.mlp.fc1.y 4.26 MB, blocks.3.mlp.fc1.y 4.26 MB, blocks.4.mlp.fc1.y 4.26 MB. Lower the batch, keep less (saved compact or smallest), train fewer parameters (method head or last-k), or raise the budget."`,
    );
  });
});

describe('errors', () => {
  const options = { model: modelOf(TINY), optimizer: sgd(), batch: 2 };

  it.each<readonly [Partial<CompileOptions>, string]>([
    [{ batch: 0 }, 'batch: expected a whole number ≥ 1, got 0. Change the option.'],
    [{ batch: 1.5 }, 'batch: expected a whole number ≥ 1, got 1.5. Change the option.'],
    [{ microBatches: 0 }, 'microBatches: expected a whole number ≥ 1, got 0. Change the option.'],
    [{ evalBatch: -1 }, 'evalBatch: expected a whole number ≥ 0, got -1. Change the option.'],
    [
      { clipNorm: 0 },
      'clipNorm: expected a finite number > 0, got 0. Leave the option out for no clipping.',
    ],
    [
      { clipNorm: Infinity },
      'clipNorm: expected a finite number > 0, got Infinity. Leave the option out for no clipping.',
    ],
    [
      { clipNorm: NaN },
      'clipNorm: expected a finite number > 0, got NaN. Leave the option out for no clipping.',
    ],
  ])('refuses %o', (change, message) => {
    const run = () => compile({ ...options, ...change });
    expect(run).toThrow(ConfigError);
    expect(messageOf(run)).toBe(message);
  });

  it('refuses a method that trains nothing', () => {
    const method = { ...parseMethod('head'), forward: frozen };
    expect(() => compile({ ...options, method })).toThrow(GraphError);
    expect(messageOf(() => compile({ ...options, method }))).toBe(
      'training graph: expected at least one trainable parameter, got none. ' +
        'Freeze what does not reach the loss, or choose a method that trains something.',
    );
  });
});

it('shows every stage of every entry, in order', () => {
  const stages: string[] = [];
  compile({
    model: modelOf(TINY),
    method: parseMethod('head'),
    optimizer: sgd(),
    batch: 2,
    microBatches: 2,
    trace: (stage, entry) => stages.push(`${entry} ${stage}`),
  });
  const passes = (entry: string) => ['update', 'fold', 'fuse', 'prune'].map((s) => `${entry} ${s}`);
  expect(stages).toEqual([
    'micro model',
    'micro method',
    'micro narrow',
    'micro gradient',
    'micro saved',
    ...passes('micro'),
    ...passes('apply'),
    'eval model',
    'eval method',
    'eval narrow',
    ...passes('eval'),
  ]);
});

/** The model with every parameter frozen. */
function frozen(model: ReturnType<ReturnType<typeof modelOf>>) {
  const values = model.graph.values.map((value) =>
    value.source.kind === 'parameter'
      ? { ...value, source: { ...value.source, trainable: false } }
      : value,
  );
  return { ...model, graph: { ...model.graph, values } };
}

function messageOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (error instanceof Error) return error.message;
  }
  return 'no error';
}
