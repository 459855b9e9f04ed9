import { readdirSync } from 'node:fs';

// Every test in one process: in a process of its own, each file would load CDK and synthesise the same pairs once more.
for (const file of readdirSync(import.meta.dirname).sort()) {
  if (file.endsWith('.test.js')) {
    await import(`./${file}`);
  }
}
