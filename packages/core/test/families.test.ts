/**
 * The contract of a family of models, for every one in the table: its record is complete, its presets can be
 * built, saved, exported and read back with the same bits, and nothing outside its folder knows of it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { foreignWeights, huggingFaceConfig, recognise } from '../src/checkpoints/index.js';
import { preprocessReader } from '../src/data/preprocess.js';
import { ConfigError } from '../src/errors.js';
import { checkpointed, parameters } from '../src/ir/graph.js';
import { elements } from '../src/ir/types.js';
import {
  buildModel,
  FAMILIES,
  familyOf,
  imageSizeRule,
  modelReader,
  MODELS,
  type FamilyName,
  type ModelConfig,
} from '../src/models/index.js';
import { placesOf, type Layout, type NamingName } from '../src/models/naming.js';
import { read, readValue } from '../src/schema/index.js';
import type { WeightSource } from '../src/train/weights.js';

const NAMES = Object.keys(FAMILIES) as FamilyName[];
const PRESETS = Object.entries<ModelConfig>(MODELS);
const NAMINGS: readonly NamingName[] = ['timm', 'hugging-face', 'torchvision', 'arch', 'thimble'];
/** Presets whose weights transformers has no model for. */
const NOT_IN_TRANSFORMERS: readonly string[] = [
  ...['mobilenet-v3-large', 'mobilenet-v3-small', 'efficientnet-b0', 'efficientnet-lite0'],
  'resnet-20',
];
const IN_TRANSFORMERS = PRESETS.filter(([name]) => !NOT_IN_TRANSFORMERS.includes(name));
const DOCUMENT = { file: 'config', error: ConfigError, todo: 'none' };
const LIMIT = { timeout: 120_000 };

/** Weights of the model `config`, every element of a tensor another finite number. */
function weightsOf(config: ModelConfig): WeightSource {
  const all = checkpointed(buildModel(config, { batch: 1 }).graph);
  const order = new Map(all.map(({ name }, index) => [name, index]));
  const shapes = new Map(all.map(({ name, type }) => [name, type.shape]));
  let last = { name: '', data: new Float32Array() };
  const numbers = (name: string) => {
    const bits = new Int32Array(elements(shapes.get(name) ?? []));
    const first = (order.get(name) ?? 0) * 65_537;
    for (let i = 0; i < bits.length; i++) bits[i] = (first + i) & 0x3fffffff;
    return { name, data: new Float32Array(bits.buffer) };
  };
  return {
    ...{ name: 'weights', shapes },
    read: (name) => {
      if (last.name !== name) last = numbers(name); // asked for once for each of q, k and v
      return last.data;
    },
  };
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);

function expectSame(want: WeightSource, got: WeightSource): void {
  expect(Object.fromEntries(got.shapes)).toEqual(Object.fromEntries(want.shapes));
  for (const name of want.shapes.keys()) {
    const isSame = Buffer.compare(bytesOf(want.read(name)), bytesOf(got.read(name))) === 0;
    expect(isSame, name).toBe(true);
  }
}

const labelsOf = ({ classes }: ModelConfig) =>
  Array.from({ length: classes }, (_, index) => `class ${String(index)}`);

describe('the table of families', () => {
  it('has each family under the name that its configurations have', () => {
    for (const name of NAMES) {
      const presets = Object.values<ModelConfig>(FAMILIES[name].presets);
      expect(presets.length, name).toBeGreaterThan(0);
      for (const config of presets) expect(config.family).toBe(name);
    }
  });

  it('has each preset, and each type of transformers, once', () => {
    const presets = Object.values(FAMILIES).flatMap((each) => Object.keys(each.presets));
    expect(Object.keys(MODELS)).toEqual(presets);
    expect(new Set(presets).size).toBe(presets.length);
    const types = Object.values(FAMILIES).flatMap((each) => Object.keys(each.transformersTypes));
    expect(new Set(types).size).toBe(types.length);
  });

  it('refuses a configuration of no family, and reads one that says none as the first', () => {
    const config = MODELS['vit-micro'];
    const named = (family: unknown) => readValue({ ...config, family }, modelReader, DOCUMENT);
    expect(named(undefined)).toEqual(config);
    expect(() => named('vgg')).toThrow(
      `config, family: expected ${NAMES.join(' or ')}, got "vgg". none.`,
    );
    expect(() => named(null)).toThrow('config, family: expected');
  });
});

describe.each(PRESETS)('%s', (preset, config) => {
  const family = familyOf(config);

  it('builds, and its configuration comes back from JSON', () => {
    const { graph, blocks, head } = buildModel(config, { batch: 2 });
    expect(Object.keys(graph.outputs).sort()).toEqual(['logits', 'loss']);
    expect(blocks.length).toBeGreaterThan(0);
    for (const prefix of [...blocks, head]) {
      expect(
        parameters(graph).some(({ name }) => name.startsWith(prefix)),
        prefix,
      ).toBe(true);
    }
    expect(read(JSON.stringify(config), modelReader, DOCUMENT)).toEqual(config);
  });

  it('has the image size that its rule wants, and builds with no other', () => {
    expect(imageSizeRule(config)).toBeNull();
    const odd = { ...config, imageSize: config.imageSize + 1 };
    const rule = imageSizeRule(odd);
    const build = () => buildModel(odd, { batch: 1 });
    if (rule === null) expect(build).not.toThrow();
    else expect(build).toThrow(rule);
  });

  it('describes itself as no other preset does', () => {
    const others = PRESETS.filter(([name]) => name !== preset);
    expect(family.describe(config)).not.toBe('');
    expect(others.map(([, other]) => familyOf(other).describe(other))).not.toContain(
      family.describe(config),
    );
  });

  it('is told by its tensors alone, but for what the family says they do not tell', () => {
    for (const field of family.untold) expect(Object.keys(config)).toContain(field);
    const sidecars = { config: null, preprocessor: null };
    const found = recognise(foreignWeights('timm', config, weightsOf(config)), new Map(), sidecars);
    const got = new Map(Object.entries(found.config));
    const differs = Object.entries(config).filter(
      ([key, value]) => JSON.stringify(got.get(key)) !== JSON.stringify(value),
    );
    const silent = [...family.untold, 'imageSize'];
    expect(differs.map(([key]) => key).filter((key) => !silent.includes(key))).toEqual([]);
  });

  it.each(NAMINGS)('prepares pictures under the habit of %s', (naming) => {
    const preprocess = family.preprocess(naming, config);
    expect(readValue(preprocess, preprocessReader, DOCUMENT)).toEqual(preprocess);
    expect(preprocess.size).toBe(config.imageSize);
  });

  it('has one place for each parameter in a naming that has the model', () => {
    const names = checkpointed(buildModel(config, { batch: 1 }).graph).map(({ name }) => name);
    const places = ({ names: table }: Layout, name: string) =>
      table.filter(({ ours }) => ours.test(name)).length;
    const having = family.layouts.filter((layout) =>
      names.every((name) => places(layout, name) > 0),
    );
    expect(having.map(({ naming }) => naming)).toContain('timm');
    for (const layout of having) {
      for (const name of names) {
        expect(places(layout, name), `${layout.naming}, ${name}`).toBe(1);
      }
      const placed = { ...layout, prefix: layout.prefixes[0] };
      const found = names.flatMap((name) => placesOf(placed, name) ?? []);
      expect(new Set(found).size, layout.naming).toBe(found.length);
      expect(found.filter((place) => /[{}*]|NaN|undefined/.test(place))).toEqual([]);
    }
  });

  it('comes back bit by bit through the names of timm', LIMIT, () => {
    const weights = weightsOf(config);
    const metadata = new Map([['thimble.config', JSON.stringify(config)]]);
    const sidecars = { config: null, preprocessor: null };
    const found = recognise(foreignWeights('timm', config, weights), metadata, sidecars);
    expect(found.config).toEqual(config);
    expect(found.modelName).toBe(preset);
    expect(found.description).toContain(family.describe(config));
    expectSame(weights, found.weights);
  });

  it.runIf(IN_TRANSFORMERS.some(([name]) => name === preset))(
    'comes back bit by bit through the names of transformers',
    LIMIT,
    () => {
      const weights = weightsOf(config);
      const written = huggingFaceConfig(config, labelsOf(config));
      const file: unknown = JSON.parse(JSON.stringify(written));
      expect(file).toHaveProperty('model_type');
      const sidecars = { config: file, preprocessor: null };
      const found = recognise(foreignWeights('hugging-face', config, weights), new Map(), sidecars);
      expect(found.config).toEqual(config);
      expect(found.labels).toEqual(labelsOf(config));
      expectSame(weights, found.weights);
      expect(huggingFaceConfig(config, labelsOf(config), 'graph')).toEqual(written);
    },
  );

  it.runIf(NOT_IN_TRANSFORMERS.includes(preset))(
    'is refused under the names of transformers',
    () => {
      expect(() => huggingFaceConfig(config, labelsOf(config))).toThrow(ConfigError);
      expect(() => foreignWeights('hugging-face', config, weightsOf(config))).toThrow(ConfigError);
      expect(huggingFaceConfig(config, labelsOf(config), 'graph')).toHaveProperty('model_type');
    },
  );

  it('has the sign of no other family', () => {
    const { shapes } = weightsOf(config);
    const known = NOT_IN_TRANSFORMERS.includes(preset);
    for (const naming of known ? (['timm'] as const) : (['timm', 'hugging-face'] as const)) {
      const written = foreignWeights(naming, config, { ...weightsOf(config), shapes });
      const signed = NAMES.filter((name) =>
        FAMILIES[name].layouts.some((layout) =>
          layout.prefixes.some((prefix) =>
            layout.sign.every((parameter) =>
              placesOf({ ...layout, prefix }, parameter)?.every((place) =>
                written.shapes.has(place),
              ),
            ),
          ),
        ),
      );
      expect(signed, naming).toEqual([config.family]);
    }
  });
});

describe('outside of its folder', () => {
  const root = fileURLToPath(new URL('../../', import.meta.url)); // packages
  const sources = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => /^[a-z]+\/src\/.*\.ts$/.test(path));
  const words = [
    ...NAMES,
    ...Object.values(FAMILIES).flatMap((each) => Object.keys(each.transformersTypes)),
  ].join('|');
  const compares = new RegExp(
    `([!=]==?|case|startsWith\\(|includes\\()\\s*['"](${words})['"]|['"](${words})['"]\\s*[!=]==?`,
  );
  const outside = (name: string) =>
    sources.filter((path) => !path.startsWith(`core/src/models/${name}/`));
  const linesOf = (path: string) => readFileSync(root + path, 'utf8').split('\n');

  it.each([
    "config.family === 'swin' ? a : b",
    "case 'vit':",
    'if ("deit" !== type)',
    "name.startsWith('swin')",
  ])('a comparison is found: %s', (line) => {
    expect(line).toMatch(compares);
  });

  it('a family is compared with nowhere', () => {
    expect(sources).toContain('cli/src/source/start.ts');
    const inFolders = NAMES.map((name) => `core/src/models/${name}/`);
    const found = sources
      .filter((path) => !inFolders.some((folder) => path.startsWith(folder)))
      .flatMap((path) =>
        linesOf(path)
          .filter((line) => compares.test(line))
          .map((line) => `${path}: ${line.trim()}`),
      );
    expect(found).toEqual([]);
  });

  it.each(NAMES)('%s is imported by the table and the public API only', (name) => {
    const importing = outside(name).filter((path) =>
      linesOf(path).some((line) => new RegExp(`from '[./]+(models/)?${name}/`).test(line)),
    );
    expect(importing).toEqual(['core/src/index.ts', 'core/src/models/index.ts']);
  });
});
