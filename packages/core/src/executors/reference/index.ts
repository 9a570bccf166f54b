/**
 * The reference executor: every op's plain float64 loops, the oracle for all others.
 *
 * It follows the program's memory sharing (views, updates, in-place results) by giving each root slot one
 * array, so a wrong in-place decision shows up here too; only the packing of roots into one arena is the
 * business of the fast executors. Reals are float64 throughout and come back as Float64Array.
 */
import { opNamed } from '../../ops/index.js';
import { dataFor, type Data } from '../../ops/op.js';
import { entryNamed, plannedBytes, stepTypes, type Program, type Step } from '../../program.js';
import {
  HostTable,
  expectIdle,
  type Executor,
  type ExecutorKind,
  type ExecutorState,
  type HostData,
} from '../executor.js';

/** Longest stretch of work between two looks at the event loop. */
const SLICE_MS = 20;

class ReferenceExecutor implements Executor {
  readonly name = 'reference';
  readonly detail = 'float64';
  readonly threads = 1;
  readonly program: Program;
  readonly arenaBytes: number;
  private readonly table: HostTable;
  /** Contents of every slot; slots of one root share an array. */
  private readonly data: Data[];
  private state: ExecutorState = 'idle';

  constructor(program: Program) {
    this.program = program;
    this.arenaBytes = plannedBytes(program, 1);
    this.table = new HostTable(program);
    const roots = new Map<number, Data>();
    this.data = program.slots.map((slot) => {
      const known = roots.get(slot.root);
      if (known) return known;
      const { type, fill = 0 } = program.slots[slot.root];
      const array = dataFor(type);
      roots.set(slot.root, array.fill(fill));
      return array;
    });
  }

  write(name: string, data: HostData): void {
    expectIdle(`write of ${name}`, this.state);
    this.table.slotFor(name, data);
    this.data[this.table.index(name)].set(data);
  }

  async run(entry: string): Promise<void> {
    expectIdle(`run of ${entry}`, this.state);
    const { steps } = entryNamed(this.program, entry);
    this.state = 'running';
    try {
      let resumed = performance.now();
      for (const step of steps) {
        if (!opNamed(step.op).view) this.runStep(step);
        if (performance.now() - resumed < SLICE_MS) continue;
        await new Promise((resolve) => setTimeout(resolve, 0));
        resumed = performance.now();
      }
    } finally {
      if (this.state === 'running') this.state = 'idle';
    }
  }

  async read(name: string): Promise<HostData> {
    expectIdle(`read of ${name}`, this.state);
    return Promise.resolve(this.data[this.table.index(name)].slice());
  }

  dispose(): Promise<void> {
    this.state = 'disposed';
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

export const referenceExecutor: ExecutorKind = {
  name: 'reference',
  unavailable: () => Promise.resolve(null),
  load: (program) => Promise.resolve(new ReferenceExecutor(program)),
};
