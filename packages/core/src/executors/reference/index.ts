/**
 * The reference executor: every op's plain float64 loops, the oracle for all others.
 *
 * It follows the program's memory sharing (views, updates, in-place results) by giving each root slot one
 * array, so a wrong in-place decision shows up here too; only the packing of roots into one arena is the
 * business of the fast executors. Reals are float64 throughout and come back as Float64Array.
 */
import { ExecutorError } from '../../errors.js';
import { opNamed } from '../../ops/index.js';
import { dataFor, type Data } from '../../ops/op.js';
import { plannedBytes, stepTypes, type Program, type Step } from '../../program.js';
import { loadChecked, type Backend } from '../checked.js';
import { loadedContents, type ExecutorKind, type HostData } from '../executor.js';

/** Longest stretch of work between two looks at the event loop. */
const SLICE_MS = 20;

class ReferenceBackend implements Backend {
  readonly name = 'reference';
  readonly detail = 'float64';
  readonly threads = 1;
  readonly arenaBytes: number;
  private readonly program: Program;
  /** Contents of every slot; slots of one root share an array. */
  private readonly data: Data[];
  private disposed = false;

  constructor(program: Program) {
    this.program = program;
    this.arenaBytes = plannedBytes(program, 1);
    const roots = new Map<number, Data>();
    this.data = program.slots.map((slot) => {
      const known = roots.get(slot.root);
      if (known) return known;
      const root = program.slots[slot.root];
      const array = dataFor(root.type);
      const contents = loadedContents(root);
      if (contents) array.set(contents);
      roots.set(slot.root, array);
      return array;
    });
  }

  write(slot: number, data: HostData): void {
    this.data[slot].set(data);
  }

  async run(entry: number): Promise<void> {
    let resumed = performance.now();
    for (const step of this.program.entries[entry].steps) {
      if (!opNamed(step.op).view) this.runStep(step);
      if (performance.now() - resumed < SLICE_MS) continue;
      await new Promise((resolve) => setTimeout(resolve, 0));
      if (this.disposed) throw stopped();
      resumed = performance.now();
    }
  }

  read(slot: number): Promise<HostData> {
    return Promise.resolve(this.data[slot].slice());
  }

  dispose(): Promise<void> {
    this.disposed = true;
    this.data.length = 0;
    return Promise.resolve();
  }

  private runStep(step: Step): void {
    const operands = (slots: Step['inputs']): Readonly<Record<string, Data>> =>
      Object.fromEntries(Object.entries(slots).map(([key, slot]) => [key, this.data[slot]]));
    const types = stepTypes(this.program, step);
    opNamed(step.op).reference(operands(step.inputs), operands(step.outputs), types, step.params);
  }
}

function stopped(): ExecutorError {
  return new ExecutorError({
    where: 'executor reference',
    expected: 'a run to its end',
    got: 'the executor was disposed',
    todo: 'Load the program again',
  });
}

/** The plain loops in float64, one thread: slow, and what the others are compared with. */
export const referenceExecutor: ExecutorKind = {
  name: 'reference',
  unavailable: () => Promise.resolve(null),
  load: (program) => loadChecked(program, () => new ReferenceBackend(program)),
};
