import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENDPOINTS } from '../lib/network-endpoints.js';
import { REACH } from '../lib/reach.js';
import { STEPS, idOf } from '../lib/steps.js';
import { FROM_SCRATCH, list, resources, repositoryFile, stackOf, statements, templates } from './templates.js';

const network = stackOf(FROM_SCRATCH, 'us-west-2', 'Network');
const mesh = templates(FROM_SCRATCH).all.get('Understudy-payments-Mesh')!;
const accepter = templates(FROM_SCRATCH).all.get('Understudy-payments-Mesh-Accepter')!;

test('what runs is in private subnets of three zones, each with its own way out', () => {
  const subnets = resources(network, 'AWS::EC2::Subnet').map(([, it]) => it.Properties);
  const zones = (name: string) =>
    subnets.filter((it) => JSON.stringify(it['Tags']).includes(`${name}Subnet`)).map((it) => it['AvailabilityZone']).sort();
  assert.deepEqual(zones('private'), ['us-west-2a', 'us-west-2b', 'us-west-2c']);
  assert.deepEqual(zones('nat'), zones('private'));
  network.resourceCountIs('AWS::EC2::NatGateway', 1);
  for (const [id, route] of resources(network, 'AWS::EC2::Route')) {
    const open = route.Properties['GatewayId'] !== undefined;
    assert.equal(open, id.includes('nat'), `${id} leads to the internet`);
  }
});

test('clients reach brokers of both Regions and AWS, brokers are reached by nobody else', () => {
  const port = { FromPort: 9096, ToPort: 9096 };
  network.hasResourceProperties('AWS::EC2::SecurityGroup', {
    GroupName: 'understudy-payments-brokers',
    SecurityGroupIngress: [{ CidrIp: '10.32.0.0/16', ...port }],
  });
  const into = resources(network, 'AWS::EC2::SecurityGroupIngress').map(([, it]) => it.Properties);
  assert.deepEqual(into.map((it) => it['Description']).sort(), ['Understudy: functions', 'Understudy: operator', 'Understudy: workers']);
  for (const it of into) {
    assert.deepEqual([it['FromPort'], it['ToPort']], [9096, 9096]);
  }
  for (const role of ['functions', 'workers', 'operator']) {
    const found = resources(network, 'AWS::EC2::SecurityGroup').find(([, it]) => it.Properties['GroupName'] === `understudy-payments-${role}`);
    assert.equal(found?.[1].Properties['SecurityGroupIngress'], undefined, `${role} let somebody in`);
  }
});

test('the peering has routes and DNS on both sides, and each side’s option is set in its own Region', () => {
  mesh.hasResourceProperties('AWS::EC2::VPCPeeringConnection', { PeerRegion: 'us-west-2' });
  for (const [template, to, side, region] of [
    [mesh, '10.33.0.0/16', 'requester', 'us-east-1'],
    [accepter, '10.32.0.0/16', 'accepter', 'us-west-2'],
  ] as const) {
    const routes = resources(template, 'AWS::EC2::Route').map(([, it]) => it.Properties['DestinationCidrBlock']);
    assert.deepEqual(routes, [to, to, to]);
    template.hasResourceProperties('Custom::PeeringDns', { Side: side });
    const [permission] = statements(template).filter(({ statement }) => statement.Sid === 'SetOptions');
    assert.deepEqual(list(permission?.statement.Action ?? []), ['ec2:ModifyVpcPeeringConnectionOptions']);
    assert.match(JSON.stringify(permission?.statement.Resource), new RegExp(`ec2:${region}:123456789012:vpc-peering-connection/`));
  }
});

test('the network has an endpoint for everything that is called from within it', () => {
  const roles = STEPS.filter((step) => REACH[step].includes('kafka')).map((step) => `${idOf(step)}Role`);
  const called = [
    ...statements(stackOf(FROM_SCRATCH, 'us-west-2')).filter(({ policy }) => roles.some((role) => policy.startsWith(role))),
    ...statements(stackOf(FROM_SCRATCH, 'us-west-2', 'Replicator')).filter(({ policy }) => !policy.startsWith('Counter')),
  ].flatMap(({ statement }) => list(statement.Action).map((action) => action.split(':')[0] ?? ''));
  const endpoint: Record<string, string> = { cloudwatch: 'monitoring', ecr: 'ecr.api' };
  // Gateways; Kafka's own protocol; what Lambda does for a function before it runs; Route 53, which has none.
  const others = new Set(['s3', 'dynamodb', 'kafka-cluster', 'ec2', 'route53']);
  for (const service of new Set(called)) {
    assert.ok(others.has(service) || ENDPOINTS.includes(endpoint[service] ?? service), `${service} is called and has no endpoint`);
  }
  for (const service of ENDPOINTS) {
    network.hasResourceProperties('AWS::EC2::VPCEndpoint', { ServiceName: `com.amazonaws.us-west-2.${service}`, PrivateDnsEnabled: true });
  }
  for (const gateway of ['s3', 'dynamodb']) {
    assert.ok(
      resources(network, 'AWS::EC2::VPCEndpoint').some(([, it]) => JSON.stringify(it.Properties['ServiceName']).includes(`.${gateway}`)),
      gateway,
    );
  }
});

test('functions of the network’s Region are in it, by what it tells', () => {
  const control = stackOf(FROM_SCRATCH, 'us-west-2');
  for (const step of STEPS) {
    const [[, it] = []] = resources(control, 'AWS::Lambda::Function').filter(([id]) => id.startsWith(`${idOf(step)}Function`));
    const vpc = it?.Properties['VpcConfig'] as { SubnetIds: string[]; SecurityGroupIds: string[] } | undefined;
    assert.equal(vpc !== undefined, REACH[step].includes('kafka'), step);
    if (vpc !== undefined) {
      assert.deepEqual(vpc.SecurityGroupIds, ['{{resolve:ssm:/understudy/payments/shared/group-functions}}']);
      assert.equal(vpc.SubnetIds.length, 3);
      for (const subnet of vpc.SubnetIds) {
        const name = /\{\{resolve:ssm:(.*)\}\}/.exec(subnet)?.[1];
        network.hasResourceProperties('AWS::SSM::Parameter', { Name: name });
      }
    }
  }
});

test('the file that sets a peering’s DNS option says which side', () => {
  const code = repositoryFile('cdk', 'inline', 'peering_dns.py');
  assert.ok(code.length < 4096);
  for (const side of ['requester', 'accepter']) {
    assert.ok(code.includes(`"${side}"`));
  }
});
