import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REACH } from '../lib/reach.js';
import { STEPS, idOf } from '../lib/steps.js';
import { EXAMPLE, WITHOUT_RESOURCES, list, statements, templates } from './templates.js';

const west = templates().regions.get('us-west-2')!;

test('no action stands for others', () => {
  for (const { policy, statement } of statements(west)) {
    for (const action of list(statement.Action)) {
      assert.ok(!action.includes('*'), `${policy} permits ${action}`);
    }
  }
});

test('every resource is named, where there is one', () => {
  for (const { policy, statement } of statements(west)) {
    if (list(statement.Resource).includes('*')) {
      const named = list(statement.Action).filter((action) => !WITHOUT_RESOURCES.has(action));
      assert.deepEqual(named, [], `${policy} permits these on everything`);
    }
  }
});

test('metrics are put into our namespace only', () => {
  const put = statements(west).filter(({ statement }) => list(statement.Action).includes('cloudwatch:PutMetricData'));
  assert.equal(put.length, 1);
  assert.deepEqual(put[0]?.statement.Condition, { StringEquals: { 'cloudwatch:namespace': 'Understudy' } });
});

test('nothing is created and no permission is changed while a recovery runs', () => {
  for (const { policy, statement } of statements(west)) {
    for (const action of list(statement.Action)) {
      const service = action.split(':')[0];
      const verb = action.split(':')[1] ?? '';
      const allowed = action === 'ec2:CreateNetworkInterface' || action === 'logs:CreateLogDelivery' || action === 'logs:CreateLogStream';
      assert.ok(allowed || !verb.startsWith('Create'), `${policy} permits ${action}`);
      assert.notEqual(service, 'iam', `${policy} permits ${action}`);
    }
  }
});

test('only those steps change the ledger that must, and only their pair’s item', () => {
  const writers = statements(west).filter(({ statement }) => statement.Sid === 'ChangeLedger');
  const expected = STEPS.filter((step) => REACH[step].includes('ledger-write'));
  assert.equal(writers.length, expected.length);
  for (const step of expected) {
    assert.ok(writers.some(({ policy }) => policy.startsWith(`${idOf(step)}Role`)), step);
  }
  for (const { statement } of writers) {
    assert.deepEqual(statement.Condition, {
      'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': ['ledger#orders'] },
    });
  }
});

test('secrets are read by those only that connect to clusters, and no other secrets', () => {
  for (const { policy, statement } of statements(west)) {
    if (list(statement.Action).includes('secretsmanager:GetSecretValue')) {
      const step = STEPS.find((it) => policy.startsWith(`${idOf(it)}Role`));
      assert.ok(step !== undefined && REACH[step].includes('kafka'), policy);
      // A writer's login is theirs only who try what it may no longer do.
      const owner = statement.Sid === 'LogInAsWriter' && ['fence-source', 'keep-fences'].includes(step) ? 'orders' : 'understudy';
      for (const resource of list(statement.Resource)) {
        // Of the other Region's cluster too, but read here, from the replica.
        assert.match(String(resource), new RegExp(`:us-west-2:\\d+:secret:AmazonMSK_${owner}-(use1|usw2)-AbCdEf$`));
      }
    }
  }
  const proving = statements(west).filter(({ statement }) => statement.Sid === 'LogInAsWriter');
  assert.deepEqual(proving.map(({ statement }) => list(statement.Resource).length), [2, 2]);
});

test('nothing of the other Region is in reach but what a recovery does without if that is gone', () => {
  // Each is a look that may stay unanswered, or is tried within a bound and left: ARCHITECTURE.md names the bounds.
  const bestEffort = new Set([
    'probe-health kafka:DescribeCluster', // AWS's word on the other cluster, one signal of several
    'trigger-recovery states:DescribeExecution', // whether a recovery that began there is under way
    'answer-approval states:DescribeExecution',
    'quiesce-clients ecs:UpdateService', // applications that run there, in a switchover
    'reconfigure-clients ecs:DescribeServices',
    'reconfigure-clients ecs:UpdateService',
    ...['keep-fences', 'notify', 'quiesce-clients', 'reconfigure-clients', 'request-approval', 'trigger-recovery'].map(
      (step) => `${step} sns:Publish`, // people there, told beside those here
    ),
    'seal-flow ecs:UpdateService', // tidying: brokers have shut the workers out before
    'start-flow ecs:UpdateService', // workers beside the cluster that was left, once it is back
  ]);
  for (const [region, other] of [
    ['us-west-2', 'us-east-1'],
    ['us-east-1', 'us-west-2'],
  ] as const) {
    const reached = new Set<string>();
    for (const { policy, statement } of statements(templates().regions.get(region)!)) {
      const step = STEPS.find((it) => policy.startsWith(`${idOf(it)}Role`));
      if (list(statement.Resource).some((it) => JSON.stringify(it).includes(other))) {
        list(statement.Action).forEach((action) => reached.add(`${step ?? policy} ${action}`));
      }
    }
    assert.deepEqual([...reached].sort(), [...bestEffort].sort(), region);
  }
});

test('with MSK’s IAM, clusters of both Regions are logged in to from here, and nothing else is added there', () => {
  const iam = templates({ ...EXAMPLE, kafkaIam: true }).regions.get('us-west-2')!;
  let found = 0;
  for (const { policy, statement } of statements(iam)) {
    for (const resource of list(statement.Resource)) {
      if (/:kafka:us-east-1:/.test(JSON.stringify(resource))) {
        found += 1;
        const named = list(statement.Action).every((action) => action.startsWith('kafka-cluster:') || action === 'kafka:DescribeCluster');
        assert.ok(named, `${policy}: ${statement.Sid}`);
      }
    }
  }
  assert.ok(found > 0, 'nothing is logged in to');
});
