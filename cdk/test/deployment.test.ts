import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readIn, sidesOf } from '../lib/pair.js';
import { seenFrom } from './symmetry.js';
import { WITHOUT_RESOURCES, everything, EXAMPLES, list, local, resources, stacksOf, statements, type Statement, templates } from './templates.js';

for (const [name, config] of EXAMPLES) {
  const { all, made } = templates(config);
  const [first, second] = sidesOf(config.document.pair);
  assert.ok(first !== undefined && second !== undefined);

  test(`${name}: both Regions have the same stacks, which differ in names and Region only: roles are data`, () => {
    const parts = (region: string) =>
      [...all.keys()].map((it) => it.split(`-${region}`)).filter((it) => it.length === 2).map((it) => it[1]).sort();
    assert.deepEqual(parts(first.region), parts(second.region));
    for (const part of parts(first.region)) {
      const of = (region: string) => all.get(`Understudy-${config.document.pair.name}-${region}${part}`)!;
      assert.deepEqual(
        seenFrom(of(first.region), config, first, second),
        seenFrom(of(second.region), config, second, first),
        `stack ${part}`,
      );
    }
  });

  test(`${name}: a Region’s stacks refer to no other stack; only the mesh does, which exists once`, () => {
    for (const stack of stacksOf(made)) {
      const text = JSON.stringify(all.get(stack.stackName)?.toJSON());
      assert.ok(!text.includes('Fn::ImportValue'), stack.stackName);
      const refers = text.includes('Fn::GetStackOutput');
      assert.equal(refers, (made.mesh as readonly object[]).includes(stack), stack.stackName);
    }
  });

  test(`${name}: no action stands for others, and everything is named that can be`, () => {
    for (const [stack, template] of all) {
      for (const { policy, statement } of statements(template)) {
        for (const action of list(statement.Action)) {
          assert.ok(!action.includes('*'), `${stack}: ${policy} permits ${action}`);
        }
        if (list(statement.Resource).includes('*')) {
          const named = list(statement.Action).filter((action) => !WITHOUT_RESOURCES_ANYWHERE.has(action));
          assert.deepEqual(named, [], `${stack}: ${policy} permits these on everything`);
        }
      }
    }
  });

  test(`${name}: everything that can be encrypted is`, () => {
    for (const [stack, template] of all) {
      for (const [id, it] of everything(template)) {
        const key = ENCRYPTED_BY[it.Type];
        // What sets a peering's option says nothing in its log, and comes before there is a key.
        const open = it.Type === 'AWS::Logs::LogGroup' && String(it.Properties['LogGroupName']).endsWith('-peering-dns');
        if (key !== undefined && !open) {
          assert.ok(it.Properties[key] !== undefined, `${stack}: ${id} has no ${key}`);
        }
      }
    }
  });

  test(`${name}: nothing is public`, () => {
    for (const [stack, template] of all) {
      for (const [id, it] of everything(template)) {
        assert.ok(!PUBLIC.has(it.Type), `${stack}: ${id} is a ${it.Type}`);
      }
      for (const [id, group] of resources(template, 'AWS::EC2::SecurityGroup')) {
        assert.ok(!JSON.stringify(group.Properties['SecurityGroupIngress'] ?? []).includes('0.0.0.0/0'), `${stack}: ${id}`);
      }
      for (const [id, rule] of resources(template, 'AWS::EC2::SecurityGroupIngress')) {
        assert.notEqual(rule.Properties['CidrIp'], '0.0.0.0/0', `${stack}: ${id}`);
      }
      for (const [id, subnet] of resources(template, 'AWS::EC2::Subnet')) {
        assert.equal(subnet.Properties['MapPublicIpOnLaunch'], false, `${stack}: ${id}`);
      }
      for (const [id, it] of everything(template)) {
        for (const statement of policiesOf(it.Properties)) {
          if (statement.Effect !== 'Deny' && JSON.stringify(statement.Principal) === '{"AWS":"*"}') {
            assert.match(JSON.stringify(statement.Condition), /"kms:CallerAccount":"\d{12}"/, `${stack}: ${id} is anybody's`);
          }
        }
      }
    }
  });

  test(`${name}: a recovery asks nothing of the other Region but what is named here, as best effort`, () => {
    for (const [here, there] of [[first, second], [second, first]] as const) {
      const template = templates(config).regions.get(here.region)!;
      for (const { policy, statement } of statements(template)) {
        const elsewhere = list(statement.Resource).filter((it) => JSON.stringify(it).includes(there.region));
        if (elsewhere.length > 0) {
          assert.ok(BEST_EFFORT.has(statement.Sid ?? ''), `${policy} needs ${there.region}: ${JSON.stringify(statement)}`);
        }
      }
      for (const [id, it] of resources(template, 'AWS::Lambda::Function')) {
        const { Variables } = it.Properties['Environment'] as { Variables: Record<string, unknown> };
        assert.ok(!JSON.stringify(Variables).includes(there.region), `${id} is told of ${there.region}`);
      }
    }
  });

  test(`${name}: logins are read from this Region, also those to the other Region’s cluster`, () => {
    for (const { region } of [first, second]) {
      const { pair, flows } = readIn(config.document, region);
      const texts = [...Object.values(flows), JSON.stringify(pair)].join('\n');
      const regions = [...texts.matchAll(/secretsmanager:arn:[^:}]*:secretsmanager:([^:}]*)/g)].map((it) => it[1]);
      assert.ok(regions.length >= 6);
      assert.deepEqual([...new Set(regions)], [region]);
    }
  });

  test(`${name}: what holds data outlives its stack`, () => {
    for (const [stack, template] of all) {
      for (const [id, it] of everything(template) as [string, { Type: string; DeletionPolicy?: string }][]) {
        if (STATEFUL.has(it.Type)) {
          assert.equal(it.DeletionPolicy, 'RetainExceptOnCreate', `${stack}: ${id}`);
        }
      }
    }
    for (const stack of stacksOf(made)) {
      assert.equal(stack.terminationProtection, true, stack.stackName);
    }
  });
}

test('where stand-ins play AWS, only what they know is deployed', () => {
  assert.deepEqual([...templates(local()).all.keys()].sort(), [
    'Understudy-orders-Ledger',
    'Understudy-orders-us-east-1',
    'Understudy-orders-us-east-1-Clients',
    'Understudy-orders-us-west-2',
    'Understudy-orders-us-west-2-Clients',
  ]);
});

/** What the other Region is asked, and nothing waits for: each has a time limit, and its failure is told and passed over. */
const BEST_EFFORT = new Map([
  ['AskAboutClusters', 'AWS’s own word on the other cluster: one signal of three, and silence is one too'],
  ['TellPeople', 'people there are told beside those here; one topic that answers is enough'],
  ['SetWorkers', 'tidying; what fences workers is the seal'],
  ['MoveServices', 'applications that run there are stopped if they can be'],
  ['MoveMappings', 'the same, for functions that poll'],
  ['LookAtMachines', 'whether an execution there is under way; the ledger decides'],
  // MSK's own permissions: Kafka's protocol over the peering, no control plane.
  ['Connect', ''],
  ['ReadTopics', ''],
  ['WriteState', ''],
  ['PlaceGroups', ''],
  ['Fence', ''],
]);

/** The same for workers and the operators' task, beside the control plane's. */
const WITHOUT_RESOURCES_ANYWHERE = new Set([
  ...WITHOUT_RESOURCES,
  'ecr:GetAuthorizationToken',
  'ssmmessages:CreateControlChannel',
  'ssmmessages:CreateDataChannel',
  'ssmmessages:OpenControlChannel',
  'ssmmessages:OpenDataChannel',
]);

/** The property that says under which key something is encrypted. */
const ENCRYPTED_BY: Readonly<Record<string, string>> = {
  'AWS::DynamoDB::GlobalTable': 'SSESpecification',
  'AWS::DynamoDB::Table': 'SSESpecification',
  'AWS::Logs::LogGroup': 'KmsKeyId',
  'AWS::MSK::Cluster': 'EncryptionInfo',
  'AWS::S3::Bucket': 'BucketEncryption',
  'AWS::SNS::Topic': 'KmsMasterKeyId',
  'AWS::SQS::Queue': 'KmsMasterKeyId',
  'AWS::SecretsManager::Secret': 'KmsKeyId',
  'AWS::StepFunctions::StateMachine': 'EncryptionConfiguration',
};

/** What would be reached from the internet. */
const PUBLIC = new Set([
  'AWS::ApiGateway::RestApi',
  'AWS::ApiGatewayV2::Api',
  'AWS::CloudFront::Distribution',
  'AWS::ElasticLoadBalancingV2::LoadBalancer',
  'AWS::Lambda::Url',
]);

/** What holds data that nothing else has. */
const STATEFUL = new Set([
  'AWS::DynamoDB::GlobalTable',
  'AWS::DynamoDB::Table',
  'AWS::KMS::Key',
  'AWS::MSK::Cluster',
  'AWS::S3::Bucket',
  'AWS::SecretsManager::Secret',
]);

/** Every statement of every policy among a resource's properties. */
function policiesOf(properties: object | undefined): Statement[] {
  return Object.values(properties ?? {}).flatMap((it) => (it as { Statement?: Statement[] } | null)?.Statement ?? []);
}
