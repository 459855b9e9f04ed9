import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { ENDPOINTS } from '../lib/network-endpoints.js';
import { FROM_SCRATCH, PACKAGE, repositoryFile, stacksOf, templates } from './templates.js';

const DOCUMENTS = ['aws.md', 'alarms.md', 'clients.md', 'operating.md', 'releasing.md'] as const;
const aws = repositoryFile('docs', 'aws.md');

test('documents point to what is there', () => {
  for (const document of DOCUMENTS) {
    const path = join(PACKAGE, '..', 'docs', document);
    for (const match of repositoryFile('docs', document).matchAll(/\]\(([^)#]*)(?:#([^)]*))?\)/g)) {
      const [, file = '', section] = match;
      const target = file === '' ? path : join(dirname(path), file);
      assert.ok(existsSync(target), `${document} points to ${file}`);
      if (section !== undefined && target.endsWith('.md')) {
        assert.ok(anchors(repositoryFile('docs', file === '' ? document : file)).has(section), `${document} points to ${file}#${section}`);
      }
    }
  }
});

test('every stack that is deployed is described, and every stack that is described is deployed', () => {
  const parts = stacksOf(templates(FROM_SCRATCH).made).map((stack) =>
    stack.stackName.replace('Understudy-payments-', '').replace(/^us-(east-1|west-2)-?/, ''),
  );
  for (const part of new Set(parts)) {
    assert.ok(part === '' || aws.includes(`-${part}\``), `${part} is not in docs/aws.md`);
  }
  for (const match of aws.matchAll(/`…-([A-Z][A-Za-z-]+)`/g)) {
    assert.ok(parts.some((part) => part.endsWith(match[1] ?? '')), `there is no ${match[1]}`);
  }
});

test('commands that are described exist', () => {
  const main = repositoryFile('replicator', 'service', 'src', 'main.rs') + repositoryFile('replicator', 'service', 'src', 'recovery', 'arguments.rs');
  const known = [...main.matchAll(/^ {4}([A-Z][A-Za-z0-9]+)(?: \{|\(|,)/gm)].map((it) => (it[1] ?? '').replaceAll(/(?<=[a-z])(?=[A-Z0-9])/g, '-').toLowerCase());
  for (const document of DOCUMENTS) {
    const text = repositoryFile('docs', document);
    for (const match of text.matchAll(/`understudy ([a-z][a-z0-9-]*)/g)) {
      assert.ok(known.includes(match[1] ?? '') || main.includes(`"${match[1]}"`), `${document}: there is no understudy ${match[1]}`);
    }
    for (const match of text.matchAll(/scripts\/([a-z-]+)/g)) {
      assert.ok(existsSync(join(PACKAGE, '..', 'scripts', match[1] ?? '')), `${document}: there is no scripts/${match[1]}`);
    }
  }
});

test('the costs count what is deployed', () => {
  assert.ok(aws.includes(`2 Regions × ${ENDPOINTS.length} services × 3 zones`), `there are ${ENDPOINTS.length} endpoints`);
  const fee = (cell: string) => new RegExp(`\\| ${cell}[^|]*\\|[^|]*\\| (\\d+)`).exec(aws)?.[1];
  assert.equal(fee('endpoints of AWS'), String(Math.round(2 * ENDPOINTS.length * 3 * 0.01 * 730)));
  assert.equal(fee('two MSK clusters'), String(Math.round(6 * 0.204 * 730)));
  assert.equal(fee('workers of the flow'), String(Math.round(2 * (0.03238 + 2 * 0.00356) * 730)));
});

test('what a pair takes of an account is counted', () => {
  const of = templates(FROM_SCRATCH);
  const counted = (region: string, type: string) =>
    [...of.all]
      .filter(([stack]) => stack.includes(region))
      .map(([, template]) => Object.keys(template.findResources(type)).length)
      .reduce((sum, it) => sum + it, 0);
  const operating = repositoryFile('docs', 'operating.md');
  for (const [words, type] of [
    ['functions', 'AWS::Lambda::Function'],
    ['state machines', 'AWS::StepFunctions::StateMachine'],
    ['roles', 'AWS::IAM::Role'],
    ['log groups', 'AWS::Logs::LogGroup'],
    ['alarms', 'AWS::CloudWatch::Alarm'],
    ['composite ones', 'AWS::CloudWatch::CompositeAlarm'],
    ['rules', 'AWS::Events::Rule'],
    ['parameters', 'AWS::SSM::Parameter'],
    ['policy of CloudWatch Logs', 'AWS::Logs::ResourcePolicy'],
    ['Elastic IP', 'AWS::EC2::EIP'],
    ['keys', 'AWS::KMS::Key'],
    ['ECS cluster', 'AWS::ECS::Cluster'],
  ] as const) {
    const count = counted('us-west-2', type);
    assert.equal(counted('us-east-1', type), count, type);
    assert.ok(operating.includes(`${count} ${words}`), `docs/operating.md: there are ${count} ${words} in a Region; its table of many pairs stands on that`);
  }
});

/** A document's sections, as links name them. */
function anchors(text: string): Set<string> {
  const sections = [...text.matchAll(/^#+ (.+)$/gm)].map((it) =>
    (it[1] ?? '').toLowerCase().replaceAll(/[^\p{L}\p{N} -]/gu, '').trim().replaceAll(' ', '-'),
  );
  const named = [...text.matchAll(/<a id="([^"]+)">/g)].map((it) => it[1] ?? '');
  return new Set([...sections, ...named]);
}
