/**
 * Writes a run for other libraries: ONNX and safetensors, in one folder.
 *
 *   node examples/dist/export-model.js RUN FOLDER
 */
import { exportModel } from '@thimble/cli';

const [run, out] = process.argv.slice(2);

const { files, notChecked } = await exportModel({ run, out, format: 'onnx,safetensors' });
for (const { file, bytes, agreement } of files) {
  const checked = agreement ? `, logits within ${agreement.maxDifference}` : '';
  console.log(`${file}: ${bytes} bytes${checked}`);
}
if (notChecked !== null) console.log(`not checked: ${notChecked}`);
