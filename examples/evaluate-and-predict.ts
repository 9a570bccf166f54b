/**
 * Measures a run on a folder of photos, and classifies single ones.
 *
 *   node examples/dist/evaluate-and-predict.js RUN PHOTOS IMAGE...
 */
import { evaluate, predict } from '@thimble/cli';

const [run, photos, ...images] = process.argv.slice(2);

const { accuracy, perClass } = await evaluate({ run, data: photos });
console.log(`accuracy ${accuracy.toFixed(2)}`);
for (const { name, images: count } of perClass) console.log(`${name}: ${count} images`);

const { predictions, unread } = await predict({ run, images, top: 1 });
for (const { image, classes } of predictions) console.log(`${image}: ${classes[0].name}`);
for (const { name } of unread) console.log(`${name}: not read`);
