/**
 * Who asked for work: hears what happens while it goes on, and may stop it. The rooms of the library say everything
 * through their caller; they print nothing, handle no signal of the system and end no process.
 */

/** What a remark is about. */
export type NoteTopic = 'executor' | 'workers' | 'memory' | 'hub' | 'data' | 'result';

/** A remark beside the result: something was done in another way than might be expected. */
export interface NoteEvent {
  readonly event: 'note';
  readonly about: NoteTopic;
  /** A sentence for people. */
  readonly text: string;
}

/** Work whose end is known beforehand. */
export type Task =
  | 'evaluate'
  | 'measureBefore'
  | 'measureAfter'
  | 'measureSweep'
  | 'importanceOfForgotten'
  | 'importanceOfBase';

/** `done` of `total` images are worked off; told once with 0 of them, and not after the last. */
export interface ProgressEvent {
  readonly event: 'progress';
  readonly task: Task;
  readonly done: number;
  readonly total: number;
  /** So far, where it is known. */
  readonly accuracy: number | null;
}

/** From here on there is something to save or to remove: a signal that aborts ends the work at a good place. */
export interface WritingEvent {
  readonly event: 'writing';
}

/** What was written counts; nothing is left to save or to remove. */
export interface WrittenEvent {
  readonly event: 'written';
}

/**
 * Hears events as they happen. Where work says much, it waits for the promise that a listener returns: a slow
 * listener slows it down, and what the listener throws ends it.
 */
export type Listener<E> = (event: E) => void | Promise<void>;

/** How work is followed and stopped; both may be left out. */
export interface Hooks<E> {
  /**
   * Stops the work when it aborts. Training ends behind the present update, saves the run and says so in its result;
   * everything else leaves things as they were and throws the signal's reason.
   */
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: Listener<E | NoteEvent> | undefined;
}

export class Caller<E> {
  readonly signal: AbortSignal;
  private readonly listener: Listener<E | NoteEvent>;
  private pending: Promise<unknown> = Promise.resolve();

  constructor({ signal, onEvent }: Hooks<E> = {}) {
    this.signal = signal ?? new AbortController().signal;
    this.listener = onEvent ?? (() => undefined);
  }

  tell(event: E | NoteEvent): void {
    const answer = this.listener(event);
    if (!answer) return;
    this.pending = Promise.all([this.pending, answer]);
    this.pending.catch(() => undefined); // thrown where somebody waits
  }

  note(about: NoteTopic, text: string): void {
    this.tell({ event: 'note', about, text });
  }

  /** Waits for the listener. Throws what it throws. */
  async heard(): Promise<void> {
    await this.pending;
  }

  /** Throws the reason of a signal that has aborted. */
  checkSignal(): void {
    this.signal.throwIfAborted();
  }
}
