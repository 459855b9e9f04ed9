import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { ENDPOINTS } from '../lib/network-endpoints.js';
import { EXAMPLES, FROM_SCRATCH, PACKAGE, repositoryFile, stackOf, stacksOf, templates } from './templates.js';

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

test('what is typed uses no variable that nobody set', () => {
  for (const document of ['aws.md', 'releasing.md'] as const) {
    const text = repositoryFile('docs', document);
    for (const block of text.matchAll(/^ *```sh\n(.*?)^ *```$/gms)) {
      for (const [, variable = ''] of (block[1] ?? '').matchAll(/\$([A-Z]+)\b/g)) {
        const before = text.slice(0, block.index) + block[1];
        const set = new RegExp(`\\b${variable}=|\\bfor ${variable} in |\`${variable}\` `).test(before);
        assert.ok(set || variable === 'PWD', `${document}: $${variable} is used in ${block[1]}`);
      }
    }
  }
});

test('what is typed names what is deployed', () => {
  const names = stacksOf(templates(FROM_SCRATCH).made).map((stack) => stack.stackName);
  const shown = JSON.stringify([...templates(FROM_SCRATCH).all.values()].map((template) => template.toJSON()));
  for (const document of ['aws.md', 'releasing.md'] as const) {
    for (const [said, region, part = ''] of repositoryFile('docs', document).matchAll(/\$P(?![A-Z])(-\$[EWR])?((?:-[A-Z][A-Za-z]+)*)/g)) {
      assert.ok(names.includes(`Understudy-payments${region === undefined ? '' : '-us-west-2'}${part}`), `${document}: there is no ${said}`);
    }
  }
  for (const [said, , name = ''] of aws.matchAll(/--(cluster|service|task-definition|container) ([a-z0-9-]+)/g)) {
    assert.ok(shown.includes(`"${name}"`), said);
  }
  for (const [, name = ''] of aws.matchAll(/(\/understudy\/payments\/shared\/[a-z0-9-]+)/g)) {
    assert.ok(shown.includes(`"${name}"`), name);
  }
  for (const [, name = ''] of aws.matchAll(/\$\(shared ([a-z0-9-]+)\)/g)) {
    assert.ok(shown.includes(`"/understudy/payments/shared/${name}"`), name);
  }
  const { Outputs } = stackOf(FROM_SCRATCH, 'us-west-2', 'Kafka').toJSON() as { Outputs: object };
  for (const [, output = ''] of aws.matchAll(/\bmade ([A-Z][A-Za-z]+)/g)) {
    assert.ok(output in Outputs, `the Kafka stack tells no ${output}`);
  }
});

test('examples are copied with all that they name, and nothing of them is left unseen', () => {
  const pattern = new RegExp(/grep -nE '([^']+)'/.exec(aws)?.[1] ?? '^$');
  for (const [name, { document }] of EXAMPLES) {
    assert.ok(aws.includes(`cp cdk/config/{schema.json,${name}.json,${name}.pair.json} $C`), name);
    const globs = [...aws.matchAll(/cdk\/config\/flows\/([a-z0-9*-]+)\.toml/g)].map((it) => new RegExp(`^${(it[1] ?? '').replace('*', '[a-z0-9-]*')}[.]toml$`));
    const copied = globs.map((glob) => readdirSync(join(PACKAGE, 'config', 'flows')).filter((file) => glob.test(file)));
    const named = Object.keys(document.flows).map((file) => file.replace('flows/', '')).sort();
    assert.ok(copied.some((files) => JSON.stringify(files.sort()) === JSON.stringify(named)), `${name}: ${named.join(', ')}`);
    const told = Object.values(document.flows).flatMap((text) => text.split('\n')).filter((line) => /bootstrap|secretsmanager/.test(line));
    for (const line of [...told, ...Object.values(document.pair.clusters).map((it) => it.msk_arn ?? '')]) {
      assert.match(line, pattern);
    }
  }
});

test('the costs count what is deployed', () => {
  assert.ok(aws.includes(`2 Regions × ${ENDPOINTS.length} services × 3 zones`), `there are ${ENDPOINTS.length} endpoints`);
  const observed = [...templates(FROM_SCRATCH).all].filter(([stack]) => stack.includes('us-west-2')).map(([, template]) => template);
  const alarms = observed.flatMap((template) => Object.values(template.findResources('AWS::CloudWatch::Alarm')));
  const looked = (it: { Properties: { Metrics?: { MetricStat?: object }[] } }) => it.Properties.Metrics?.filter((query) => query.MetricStat !== undefined).length ?? 1;
  const metrics = alarms.reduce((sum, it) => sum + looked(it as never), 0);
  assert.ok(aws.includes(`${metrics} metrics in alarms`), `alarms look at ${metrics} metrics in a Region`);
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
