/**
 * Trains on a folder of photos, stops in the middle as Ctrl-C would, and goes on to the same weights.
 *
 *   node examples/dist/train-and-resume.js PHOTOS RUN [SECONDS]
 *
 * PHOTOS has a sub-folder for each class; RUN is a folder to make; training is stopped after SECONDS.
 */
import { resume, train, type LibraryEvent } from '@thimble/cli';

const [photos, run, seconds = '10'] = process.argv.slice(2);

function show(event: LibraryEvent): void {
  if (event.event === 'start') console.log(`${event.steps} updates, ${event.plannedBytes} bytes`);
  if (event.event !== 'epoch') return;
  console.log(`epoch ${event.epoch}: accuracy ${event.validation?.accuracy.toFixed(2)}`);
}

const stop = new AbortController();
const until = performance.now() + 1000 * Number(seconds);
const first = await train(
  { data: photos, out: run, epochs: 3, batch: 4 },
  {
    signal: stop.signal,
    onEvent: (event) => {
      show(event);
      if (event.event === 'step' && performance.now() > until) stop.abort();
    },
  },
);
console.log(`${first.status} after ${first.summary.steps} updates`);

if (first.status === 'interrupted') {
  const rest = await resume({ run }, { onEvent: show });
  if (rest.status === 'done') console.log(`done after ${rest.summary.steps} updates`);
}
