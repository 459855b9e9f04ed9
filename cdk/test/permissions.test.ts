import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REACH } from '../lib/reach.js';
import { STEPS, idOf } from '../lib/steps.js';
import { WITHOUT_RESOURCES, list, statements, templates } from './templates.js';

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
      for (const resource of list(statement.Resource)) {
        // Of the other Region's cluster too, but read here, from the replica.
        assert.match(String(resource), /:us-west-2:\d+:secret:AmazonMSK_understudy-(use1-AbCdEf|usw2-AbCdEf)$/);
      }
    }
  }
});
