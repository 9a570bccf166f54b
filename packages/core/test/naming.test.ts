/** Tables of names: what stands for a number, a last part and a prefix, in both directions. */
import { expect, it } from 'vitest';
import { namesOf, placesOf, same, type Layout, type Table } from '../src/models/naming.js';

const TABLE: Table = {
  'stem.*': '{p}features.0.0.*',
  'layer{s}.{b}.conv1.*': '{p}stages.{s-1}.layers.{b}.conv.*',
  'layer{s}.bn.*': '{p}norms.{2s+1}.*',
  'blocks.{b}.qkv.*': ['{p}{b}.query.*', '{p}{b}.key.*', '{p}{b}.value.*'],
  table: 'table',
  ...same(['head.*']),
};
const layout: Layout = {
  ...{ naming: 'timm', names: namesOf(TABLE) },
  ...{ prefixes: ['', 'net.'], sign: [], ignored: [] },
};
const places = (name: string, prefix = 'net.') => placesOf({ ...layout, prefix }, name);

it.each([
  ['stem.weight', ['net.features.0.0.weight']],
  ['layer2.13.conv1.weight', ['net.stages.1.layers.13.conv.weight']],
  ['layer3.bn.running_mean', ['net.norms.7.running_mean']],
  ['blocks.0.qkv.bias', ['net.0.query.bias', 'net.0.key.bias', 'net.0.value.bias']],
  ['table', ['table']],
  ['head.bias', ['head.bias']],
])('%s lies in %j', (name, want) => {
  expect(places(name)).toEqual(want);
});

it('knows a file without the prefix', () => {
  expect(places('stem.weight', '')).toEqual(['features.0.0.weight']);
});

it.each(['stem', 'stem.weight.left', 'a.stem.weight', 'layerX.bn.weight', 'stemXweight', 'tables'])(
  '%s has no place',
  (name) => {
    expect(places(name)).toBeNull();
  },
);
