import { readdirSync } from 'node:fs';
import { join } from 'node:path';

// Every test in one process: in a process of its own, each file would load CDK and synthesise the same pairs once more.
// By their sources: a build may lack what was deleted from it, and hold what is no more.
const sources = readdirSync(join(import.meta.dirname, '..', '..', 'test')).sort();
for (const file of sources.filter((name) => name.endsWith('.test.ts'))) {
  await import(`./${file.replace(/ts$/, 'js')}`);
}
