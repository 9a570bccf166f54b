/**
 * Methods one after the other: `last-k=4+wasi=0.8` trains four blocks and factors what trains.
 *
 * What trains is the intersection, forms of weights are a union, what is behind the updates a sequence, and
 * entries and rules are all there. What two methods claim for themselves is an error that names both.
 */
import { ConfigError } from '../errors.js';
import type { ModelGraph } from '../ir/graph.js';
import { joinFound, type Probe } from './found.js';
import { byAxis, type BoundMethod, type BoundPhase } from './method.js';

/**
 * `forward` and `backward` run in the given order. Throws ConfigError when two of the methods find the same
 * ranks, and each transform when two claim the same tensor.
 */
export function compose(methods: readonly BoundMethod[]): BoundMethod {
  if (methods.length === 1) return methods[0];
  const text = methods.map((method) => method.text).join('+');
  const replaced = (at: number, method: BoundMethod) => compose(methods.with(at, method));
  const transforms = transformsOf(methods, text);
  return {
    name: methods.map((method) => method.name).join('+'),
    text,
    options: byAxis(
      methods.flatMap(({ options }, at) =>
        options.map((option) => ({
          ...option,
          choose: (value: number) => replaced(at, option.choose(value)),
        })),
      ),
    ),
    probe: joinedProbe(methods, text),
    with: (found) => compose(methods.map((method) => method.with(found))),
    findings: (model) => joinFound(methods.map((method) => method.findings(model))),
    ...transforms,
    phases: joinedPhases(methods),
    saved: methods.map((method) => method.saved).find((form) => form !== null) ?? null,
  };
}

type Transforms = Pick<
  BoundMethod,
  'claims' | 'holds' | 'forward' | 'backward' | 'rule' | 'rate' | 'after' | 'entries'
>;

function transformsOf(methods: readonly BoundMethod[], text: string): Transforms {
  /** The model behind all of them, with what they claim on the way. */
  const through = (model: ModelGraph) => {
    const forms = new Taken(text, 'the form of');
    const updates = new Taken(text, 'the update of');
    const graph = methods.reduce((before, method) => {
      const claims = method.claims(before);
      forms.add(method.text, claims.forms ?? []);
      updates.add(method.text, claims.updates ?? []);
      return method.forward(before);
    }, model);
    return { graph, claims: { forms: forms.names(), updates: updates.names() } };
  };
  const holds = (model: ModelGraph) => {
    const inputs = new Taken(text, 'the saved input of');
    for (const method of methods) inputs.add(method.text, method.holds(model));
    return inputs.names();
  };
  return {
    claims: (model) => through(model).claims,
    holds,
    forward: (model) => through(model).graph,
    backward: (train, model) => {
      holds(model);
      return methods.reduce((graph, method) => method.backward(graph, model), train);
    },
    rule: (parameter, model) => {
      const what = `the rule of ${parameter.name}`;
      return onlyOne(methods, (method) => method.rule(parameter, model), what, text)?.value ?? null;
    },
    rate: (parameter, model) => {
      const what = `the rate of ${parameter.name}`;
      return onlyOne(methods, (method) => method.rate(parameter, model), what, text)?.value ?? null;
    },
    after: (graph) => methods.reduce((behind, method) => method.after(behind), graph),
    entries: (model, optimizer) => {
      const names = new Taken(text, 'the entry');
      return methods.flatMap((method) => {
        const entries = method.entries(model, optimizer);
        names.add(
          method.text,
          entries.map(({ name }) => name),
        );
        return entries;
      });
    },
  };
}

/** Who has taken what, of things of one kind. */
class Taken {
  private readonly text: string;
  private readonly kind: string;
  private readonly owners = new Map<string, string>();

  constructor(text: string, kind: string) {
    this.text = text;
    this.kind = kind;
  }

  /** Throws ConfigError for what another method has. */
  add(owner: string, names: readonly string[]): void {
    for (const name of names) {
      const other = this.owners.get(name);
      if (other !== undefined)
        throw claimedTwice(this.text, `${this.kind} ${name}`, [other, owner]);
      this.owners.set(name, owner);
    }
  }

  names(): readonly string[] {
    return [...this.owners.keys()];
  }
}

/** What the one method has that has it at all. Throws ConfigError where two have. */
function onlyOne<T>(
  methods: readonly BoundMethod[],
  pick: (method: BoundMethod) => T | null,
  what: string,
  text: string,
): { readonly value: T } | null {
  const found = methods.flatMap((method) => {
    const value = pick(method);
    return value === null ? [] : [{ value, owner: method.text }];
  });
  if (found.length <= 1) return found[0] ?? null;
  throw claimedTwice(text, what, [found[0].owner, found[1].owner]);
}

function joinedProbe(methods: readonly BoundMethod[], text: string): Probe | null {
  const weights = onlyOne(
    methods,
    ({ probe }) => probe?.weights ?? null,
    'the ranks of weights',
    text,
  );
  const inputs = onlyOne(
    methods,
    ({ probe }) => probe?.activations ?? null,
    'the ranks of saved inputs',
    text,
  );
  if (!weights && !inputs) return null;
  return {
    kind: 'ranks',
    weights: weights?.value ?? null,
    activations: inputs?.value ?? null,
  };
}

/** At each switch of any of the methods, all of them as they are from then on. */
function joinedPhases(methods: readonly BoundMethod[]): readonly BoundPhase[] {
  const switches = [...new Set(methods.flatMap(({ phases }) => phases.map(({ from }) => from)))];
  return switches
    .sort((a, b) => a - b)
    .map((from): BoundPhase => {
      const carries = methods.flatMap(({ phases }) =>
        phases.flatMap((phase) => (phase.from === from && phase.carry ? [phase.carry] : [])),
      );
      const present = methods.map(
        (method) => method.phases.findLast((phase) => phase.from <= from)?.method ?? method,
      );
      if (carries.length === 0) return { from, method: compose(present) };
      return {
        from,
        method: compose(present),
        carry: (name, data) =>
          carries.reduce<typeof data | null>(
            (carried, carry) => (carried === null ? null : carry(name, carried)),
            data,
          ),
      };
    });
}

function claimedTwice(
  text: string,
  what: string,
  [first, second]: readonly [string, string],
): ConfigError {
  return new ConfigError({
    where: `method ${text}`,
    expected: `one method for ${what}`,
    got: `two, ${first} and ${second}`,
    todo: 'Leave one of them out',
  });
}
