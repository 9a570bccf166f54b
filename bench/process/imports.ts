/** Runs by itself: what is resident before and after each module that its arguments name, a line of JSON for each. */
import { pathToFileURL } from 'node:url';
import { residentOf } from './status.js';

console.log(JSON.stringify(residentOf('self')));
for (const module of process.argv.slice(2)) {
  await import(module.startsWith('/') ? pathToFileURL(module).href : module);
  console.log(JSON.stringify(residentOf('self')));
}
