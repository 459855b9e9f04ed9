import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type App, Stack } from 'aws-cdk-lib';
import { Queue } from 'aws-cdk-lib/aws-sqs';
import type { Config } from '../lib/config.js';
import { checkGoodPractice } from '../lib/nag.js';
import { understudy } from '../lib/understudy.js';
import { EXAMPLES, FROM_SCRATCH, newApp, PACKAGE, repositoryFile } from './templates.js';

interface Violation {
  readonly ruleName: string;
  readonly description: string;
  readonly violatingConstructs?: readonly { readonly constructPath?: string }[];
}

const CHECKED = repositoryFile('scripts', 'check');

/** What is found wrong with an app. Without a network and without Docker: what is deployed is known beforehand. */
function found(app: App): string[] {
  checkGoodPractice(app);
  const { exitCode, env } = process;
  // AWS's schemas and rules, which take long to load: other tests go without them.
  process.env = { ...env };
  delete process.env['CDK_VALIDATION'];
  try {
    app.synth();
  } catch (error) {
    assert.equal((error as Error).name, 'ValidationFailed');
  } finally {
    // The CLI would end with what was found.
    Object.assign(process, { exitCode, env });
  }
  const report = JSON.parse(readFileSync(join(app.outdir, 'validation-report.json'), 'utf8')) as { pluginReports: { violations?: Violation[] }[] };
  return report.pluginReports
    .flatMap((it) => it.violations ?? [])
    .map((it) => `${it.ruleName}: ${it.description} (${it.violatingConstructs?.map((at) => at.constructPath).join(', ')})`);
}

// `scripts/check` looks at the other example, through the CLI.
const looked: readonly [string, Config][] = [
  ...[...EXAMPLES].filter(([name]) => !CHECKED.includes(`config/${name}.json`)),
  ['everything made, logged in to by IAM', { ...FROM_SCRATCH, kafkaIam: true }],
];

for (const [name, config] of looked) {
  test(`${name}: keeps to AWS’s own list of good practice, and to what CloudFormation takes`, () => {
    const app = newApp();
    understudy(app, config, join(PACKAGE, 'test', 'stub'));
    assert.deepEqual(found(app), []);
  });
}

test('what does not keep to it is found', () => {
  const app = newApp();
  new Queue(new Stack(app, 'Bad'), 'Queue');
  assert.ok(found(app).some((it) => it.startsWith('AwsSolutions-SQS4')));
});
