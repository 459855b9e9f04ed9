import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Template } from 'aws-cdk-lib/assertions';
import { everything, FROM_SCRATCH, PACKAGE, templates } from './templates.js';

const FOLDER = join(PACKAGE, 'test', 'snapshots');

/** Of the two alike Regions one, and what exists once. */
const STACKS = [...templates(FROM_SCRATCH).all].filter(([name]) => !name.includes('us-east-1'));

for (const [name, template] of STACKS) {
  test(`${name} is as it was`, () => {
    const path = join(FOLDER, `${name}.json`);
    const now = `${JSON.stringify(name.endsWith('us-west-2') ? outline(template) : scrubbed(template), null, 1)}\n`;
    if (process.env['UPDATE_SNAPSHOTS'] !== undefined) {
      mkdirSync(FOLDER, { recursive: true });
      writeFileSync(path, now);
    }
    const before = readFileSync(path, 'utf8');
    assert.deepEqual(JSON.parse(now), JSON.parse(before), 'if that is meant: UPDATE_SNAPSHOTS=1 npm test');
  });
}

/** Of the control plane, whose parts have tests of their own: what there is, and under which id. A new id is a new resource. */
function outline(template: Template): Record<string, string> {
  return Object.fromEntries(everything(template).map(([id, it]) => [id, it.Type] as const).sort());
}

/** Without digests of images and of code, which change with every source file. */
function scrubbed(template: Template): unknown {
  const text = JSON.stringify(template.toJSON())
    .replaceAll(/[0-9a-f]{64}/g, 'DIGEST')
    .replaceAll(/"Of":"[0-9a-f]{16}"/g, '"Of":"DIGEST"');
  return JSON.parse(text);
}
