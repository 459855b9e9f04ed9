import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { definitions, placeholders, timeoutOf } from '../lib/definitions.js';
import { NOT_POINTED } from '../lib/pair-parameters.js';
import { STEPS, idOf, placeholderOf } from '../lib/steps.js';
import { EXAMPLE, local, PACKAGE, resources, sorted, templates } from './templates.js';

const made = templates();
const east = made.regions.get('us-east-1')!;
const west = made.regions.get('us-west-2')!;

test('no Region refers to the other Region’s stack', () => {
  for (const template of [east, west]) {
    const text = JSON.stringify(template.toJSON());
    assert.ok(!text.includes('Fn::ImportValue') && !text.includes('Fn::GetStackOutput') && !text.includes('Custom::'));
  }
});

test('there is a function for each step of the domain, named by it', () => {
  const domain = readFileSync(join(PACKAGE, '..', 'functions', 'recovery', 'src', 'step.rs'), 'utf8');
  const known = [...domain.matchAll(/Self::\w+ => "([a-z-]+)"/g)].map((match) => match[1]);
  assert.deepEqual([...STEPS].sort(), known.sort());
  const functions = resources(west, 'AWS::Lambda::Function').map(([, it]) => it.Properties);
  assert.equal(functions.length, STEPS.length);
  for (const step of STEPS) {
    const found = functions.find((it) => it['FunctionName'] === `understudy-orders-${step}`);
    const environment = found?.['Environment'] as { Variables: Record<string, string> };
    assert.equal(environment.Variables['UNDERSTUDY_STEP'], step);
  }
});

test('the functions’ environment has every variable that they must have', () => {
  const settings = readFileSync(join(PACKAGE, '..', 'functions', 'aws', 'src', 'settings.rs'), 'utf8');
  const wanted = [...new Set([...settings.matchAll(/must\("(UNDERSTUDY_[A-Z_]+)"\)/g)].map((match) => match[1]))];
  assert.ok(wanted.length >= 4);
  for (const [id, it] of resources(west, 'AWS::Lambda::Function')) {
    const { Variables } = it.Properties['Environment'] as { Variables: Record<string, string> };
    for (const key of wanted) {
      assert.ok(Variables[key ?? ''], `${id} has no ${key}`);
    }
  }
});

test('every placeholder of a state machine is a step’s function, and each machine may call exactly those', () => {
  const machines = resources(west, 'AWS::StepFunctions::StateMachine').map(([, it]) => it.Properties);
  assert.deepEqual(
    machines.map((it) => it['StateMachineName']).sort(),
    definitions().map((it) => `understudy-orders-${it.name}`).sort(),
  );
  for (const definition of definitions()) {
    const machine = machines.find((it) => it['StateMachineName'] === `understudy-orders-${definition.name}`);
    const given = Object.keys(machine?.['DefinitionSubstitutions'] as object).sort();
    assert.deepEqual(given, placeholders(definition.text));
    assert.deepEqual(given, definition.steps.map(placeholderOf).sort());
    assert.equal(machine?.['DefinitionString'], definition.text);
  }
});

test('a function says that its time is over before the state machine does', () => {
  const all = definitions();
  for (const step of STEPS) {
    const seconds = timeoutOf(step, all);
    // No more than Lambda allows.
    assert.ok(seconds >= 3 && seconds < 900, `${step}: ${seconds}`);
    west.hasResourceProperties('AWS::Lambda::Function', { FunctionName: `understudy-orders-${step}`, Timeout: seconds });
  }
  assert.equal(timeoutOf('claim-epoch', all), 9);
});

test('what executions are given is not logged: the tokens of tasks that wait are credentials', () => {
  for (const [, machine] of resources(west, 'AWS::StepFunctions::StateMachine')) {
    const logging = machine.Properties['LoggingConfiguration'] as { IncludeExecutionData: boolean; Level: string };
    assert.deepEqual([logging.IncludeExecutionData, logging.Level], [false, 'ALL']);
    assert.equal(machine.Properties['StateMachineType'], 'STANDARD');
    assert.ok(machine.Properties['EncryptionConfiguration']);
  }
});

test('every log is kept for a stated time, under our key', () => {
  const logs = resources(west, 'AWS::Logs::LogGroup');
  assert.equal(logs.length, STEPS.length + definitions().length);
  for (const [id, log] of logs) {
    assert.equal(log.Properties['RetentionInDays'], EXAMPLE.logDays, id);
    assert.ok(log.Properties['KmsKeyId'], id);
  }
});

test('both vantages must be bad, silence is bad, and the alarm leads to the trigger', () => {
  const name = 'understudy-orders-use1-unhealthy';
  west.hasResourceProperties('AWS::CloudWatch::CompositeAlarm', { AlarmName: name });
  const [composite] = resources(west, 'AWS::CloudWatch::CompositeAlarm');
  const rule = JSON.stringify(composite?.[1].Properties['AlarmRule']);
  assert.ok(rule.includes(' AND ') && !rule.includes(' OR '), rule);
  const seen = resources(west, 'AWS::CloudWatch::Alarm').filter(([, it]) => String(it.Properties['AlarmName']).startsWith(`${name}-seen-from`));
  assert.equal(seen.length, 2);
  for (const [, alarm] of seen) {
    const { TreatMissingData, EvaluationPeriods, DatapointsToAlarm, AlarmActions } = alarm.Properties;
    assert.deepEqual([TreatMissingData, EvaluationPeriods, DatapointsToAlarm, AlarmActions], ['breaching', 3, 2, undefined]);
    const dimensions = alarm.Properties['Dimensions'] as { Name: string; Value: string }[];
    assert.deepEqual(dimensions.map((it) => it.Name).sort(), ['Cluster', 'Pair', 'Vantage']);
  }
  const actions = composite?.[1].Properties['AlarmActions'] as { Ref: string }[];
  assert.match(actions[0]?.Ref ?? '', /^NoticesAlarms/);
  const [subscription] = resources(west, 'AWS::SNS::Subscription');
  assert.match(JSON.stringify(subscription?.[1].Properties['Endpoint']), /TriggerRecoveryFunction/);
  assert.match(JSON.stringify(subscription?.[1].Properties['TopicArn']), /NoticesAlarms/);
  assert.ok(subscription?.[1].Properties['RedrivePolicy']);
  const trigger = readFileSync(join(PACKAGE, '..', 'functions', 'trigger-recovery', 'src', 'lib.rs'), 'utf8');
  assert.ok(trigger.includes('understudy-{pair}-{about}-unhealthy'), 'trigger-recovery knows the alarm by another name');
});

test('this Region looks at both clusters and again at an outage, and keeps fences, every minute', () => {
  const rules = resources(west, 'AWS::Events::Rule').map(([, it]) => it.Properties);
  const events = rules.map((it) => JSON.parse((it['Targets'] as { Input: string }[])[0]?.Input ?? '{}') as object);
  assert.deepEqual(sorted(events), sorted([
    { about: 'usw2', vantage: 'active' },
    { about: 'use1', vantage: 'standby' },
    { schedule: 'look-again', pair: 'orders' },
    { pair: 'orders' },
  ]));
  for (const rule of rules) {
    assert.equal(rule['ScheduleExpression'], 'rate(1 minute)');
    assert.ok((rule['Targets'] as { DeadLetterConfig?: object }[])[0]?.DeadLetterConfig);
  }
});

test('a deployment never moves applications back', () => {
  const pointers = resources(west, 'AWS::SSM::Parameter').filter(([, it]) => it.Properties['Name'] === '/apps/shop/kafka');
  assert.equal(pointers.length, 1);
  assert.equal(pointers[0]?.[1].Properties['Value'], NOT_POINTED);
  // Nor does taking it away: applications go on reading it.
  assert.equal((pointers[0]?.[1] as { DeletionPolicy?: string }).DeletionPolicy, 'RetainExceptOnCreate');
  assert.ok(!NOT_POINTED.includes('use1') && JSON.parse(NOT_POINTED).schema === 0);
});

test('evidence is versioned, private and kept', () => {
  west.hasResource('AWS::S3::Bucket', {
    DeletionPolicy: 'RetainExceptOnCreate',
    Properties: {
      BucketName: 'understudy-orders-123456789012-us-west-2',
      VersioningConfiguration: { Status: 'Enabled' },
      PublicAccessBlockConfiguration: { BlockPublicAcls: true, RestrictPublicBuckets: true },
    },
  });
});

test('the ledger is strongly consistent in both Regions, with a witness', () => {
  made.ledger.hasResourceProperties('AWS::DynamoDB::GlobalTable', {
    TableName: 'understudy-orders-ledger',
    MultiRegionConsistency: 'STRONG',
    GlobalTableWitnesses: [{ Region: 'us-east-2' }],
  });
});

test('where stand-ins play AWS, only what they lack is left out', () => {
  const stand = templates(local());
  stand.ledger.resourceCountIs('AWS::DynamoDB::Table', 1);
  const there = stand.regions.get('us-west-2')!;
  there.resourceCountIs('AWS::CloudWatch::CompositeAlarm', 0);
  there.hasResourceProperties('AWS::CloudWatch::Alarm', { AlarmName: 'understudy-orders-use1-unhealthy', TreatMissingData: 'breaching' });
  const count = (template: typeof west, type: string) => resources(template, type).length;
  for (const type of ['AWS::Lambda::Function', 'AWS::StepFunctions::StateMachine', 'AWS::Events::Rule', 'AWS::SNS::Topic']) {
    assert.equal(count(there, type), count(west, type), type);
  }
});

test('ids are the steps’ names, so that a renamed step is a new function and nothing else', () => {
  assert.equal(idOf('commit-group-offsets'), 'CommitGroupOffsets');
  assert.equal(placeholderOf('seal-flow'), 'SealFlowArn');
});
