import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flowFile, nameOf, slotsOf } from '../lib/flow-file.js';
import { type FlowOfPair, sidesOf } from '../lib/pair.js';
import { EXAMPLE, FROM_SCRATCH, list, resources, repositoryFile, stackOf, statements, templates } from './templates.js';

const replicator = stackOf(FROM_SCRATCH, 'us-west-2', 'Replicator');
interface Container {
  readonly Name: string;
  readonly Command?: string[];
  readonly Environment?: { Name: string; Value: string }[];
  readonly Essential: boolean;
  readonly ReadonlyRootFilesystem: boolean;
  readonly User?: string;
  readonly StopTimeout?: number;
  readonly HealthCheck?: { Command: string[] };
  readonly MountPoints?: { ReadOnly: boolean }[];
}
const task = (family: string) =>
  resources(replicator, 'AWS::ECS::TaskDefinition').map(([, it]) => it.Properties).find((it) => it['Family'] === family) ?? {};
const containers = (task('understudy-payments-use1-usw2')['ContainerDefinitions'] ?? []) as Container[];
const container = (name: string) => containers.find((it) => it.Name === name);

test('each direction’s workers stand beside its target, as the pair names their service', () => {
  for (const config of [EXAMPLE, FROM_SCRATCH]) {
    for (const side of sidesOf(config.document.pair)) {
      const flow = config.document.pair.flows.find((it) => it.target === side.alias);
      const template = stackOf(config, side.region, 'Replicator');
      const [cluster, service] = (flow?.service ?? '').split('/');
      template.hasResourceProperties('AWS::ECS::Cluster', { ClusterName: cluster });
      template.hasResourceProperties('AWS::ECS::Service', { ServiceName: service });
    }
  }
});

test('a deployment starts and stops no workers: how many there are is data', () => {
  const [[id, service] = []] = resources(replicator, 'AWS::ECS::Service');
  const count = service?.Properties['DesiredCount'] as { 'Fn::GetAtt': [string, string] };
  assert.equal(count['Fn::GetAtt'][1], 'Count', id);
  const [[, now] = []] = resources(replicator, 'Custom::WorkersNow');
  assert.deepEqual([now?.Properties['Cluster'], now?.Properties['Service']], ['understudy-payments', 'use1-usw2']);
  const asked = (memory: number) => {
    const config = { ...FROM_SCRATCH, workers: { ...FROM_SCRATCH.workers!, memoryMiB: memory, cpu: 1024 } };
    const template = templates(config).all.get('Understudy-payments-us-west-2-Replicator')!;
    return resources(template, 'Custom::WorkersNow')[0]?.[1].Properties;
  };
  // A changed task definition has another ARN, which is asked with.
  assert.ok(JSON.stringify(asked(4096)?.['Task']).includes('Ref'));
  const code = repositoryFile('cdk', 'inline', 'workers_now.py');
  assert.ok(code.length < 4096 && code.includes('"MISSING"') && code.includes('return 0'));
});

test('a worker runs as nobody, without a shell, and writes nowhere', () => {
  for (const it of containers) {
    assert.deepEqual([it.ReadonlyRootFilesystem, it.User], [true, '65532:65532'], it.Name);
  }
  const worker = container('worker');
  assert.deepEqual(worker?.Command, ['replicate', '/run/understudy/flow.toml', '--log', 'json']);
  assert.deepEqual([worker?.Essential, worker?.StopTimeout], [true, 120]);
  assert.deepEqual(worker?.MountPoints?.map((it) => it.ReadOnly), [true]);
  assert.equal(worker?.Environment, undefined);
  replicator.hasResourceProperties('AWS::ECS::Service', { EnableExecuteCommand: false });
});

test('the health of a task is what the worker answers', () => {
  const worker = container('worker');
  assert.deepEqual(worker?.HealthCheck?.Command, ['CMD', '/usr/local/bin/understudy', 'healthcheck']);
  // What it asks by itself is where the flow file has the worker listen, and the image has the binary there.
  assert.match(repositoryFile('replicator', 'service', 'src', 'main.rs'), /default_value = "127\.0\.0\.1:8080"/);
  assert.match(repositoryFile('cdk', 'lib', 'flow-file.ts'), /listen !== '127\.0\.0\.1:8080'/);
  assert.match(repositoryFile('Dockerfile'), /\/usr\/local\/bin\/understudy/);
});

test('new workers come before old ones go, in several zones, and a bad image is taken back', () => {
  replicator.hasResourceProperties('AWS::ECS::Service', {
    AvailabilityZoneRebalancing: 'ENABLED',
    LaunchType: 'FARGATE',
    DeploymentConfiguration: {
      MinimumHealthyPercent: 100,
      MaximumPercent: 200,
      DeploymentCircuitBreaker: { Enable: true, Rollback: true },
    },
    NetworkConfiguration: { AwsvpcConfiguration: { AssignPublicIp: 'DISABLED' } },
  });
  for (const config of [EXAMPLE, FROM_SCRATCH]) {
    for (const flow of config.document.pair.flows) {
      assert.ok((flow.workers ?? 0) >= 2, `${flow.file} has fewer than two workers`);
    }
  }
});

test('more workers come by doubling, so that a flow that rests stays at rest', () => {
  replicator.hasResourceProperties('AWS::ApplicationAutoScaling::ScalableTarget', { MinCapacity: 0, MaxCapacity: 4 });
  replicator.hasResourceProperties('AWS::ApplicationAutoScaling::ScalingPolicy', {
    StepScalingPolicyConfiguration: {
      AdjustmentType: 'PercentChangeInCapacity',
      StepAdjustments: [{ MetricIntervalLowerBound: 0, ScalingAdjustment: 100 }],
    },
  });
  const fewer = resources(replicator, 'AWS::CloudWatch::Alarm').find(([, it]) => String(it.Properties['AlarmName']).endsWith('caught-up'));
  assert.match(JSON.stringify(fewer?.[1].Properties['Metrics']), /running > 2/);
});

test('workers read their secrets, each through this Region, and may do nothing else', () => {
  const may = statements(replicator).filter(({ policy }) => policy.startsWith('FlowRole'));
  assert.deepEqual(may.map(({ statement }) => statement.Sid).sort(), ['DecryptLogins', 'LogIn']);
  for (const { statement } of may) {
    assert.ok(!JSON.stringify(statement).includes('us-east-1'), JSON.stringify(statement));
  }
  const withIam = templates({ ...FROM_SCRATCH, kafkaIam: true }).all.get('Understudy-payments-us-west-2-Replicator')!;
  const source = statements(withIam).filter(({ policy, statement }) => policy.startsWith('FlowRole') && JSON.stringify(statement.Resource).includes('us-east-1'));
  const actions = source.flatMap(({ statement }) => list(statement.Action));
  assert.deepEqual(
    actions.filter((action) => /Write|Alter|Create|Delete/.test(action)),
    [],
    'the source is only read',
  );
});

test('a flow file is the pair’s, with the metrics that alarms stand on', () => {
  const document = FROM_SCRATCH.document;
  const flow = document.pair.flows[0] as FlowOfPair;
  const text = document.flows[flow.file] ?? '';
  assert.ok(flowFile(document, flow).endsWith('\n[metrics]\nemf = true\npair = "payments"\n'));
  assert.ok(flowFile(document, flow).startsWith(text.trimEnd()));
  const having = (more: string) => ({ ...document, flows: { ...document.flows, [flow.file]: `${text}\n${more}` } });
  assert.ok(flowFile(having('[metrics]\nemf = true\n'), flow).endsWith('\n[metrics]\npair = "payments"\nemf = true\n'));
  assert.throws(() => flowFile(having('[metrics]\nemf = true\npair = "x"\n'), flow), /leave metrics.pair out/);
  assert.throws(() => flowFile(having('[metrics]\nemf = false\n'), flow), /metrics.emf must be true/);
  assert.throws(() => flowFile(having('[http]\nlisten = "0.0.0.0:80"\n'), flow), /http.listen/);
  assert.equal(slotsOf(document, flow), 8);
  const known = /SLOTS_DEFAULT: NonZeroU32 = NonZeroU32::MIN\.saturating_add\((\d+)\)/.exec(repositoryFile('replicator', 'flow', 'src', 'mirror_config.rs'));
  const { pair } = EXAMPLE.document;
  assert.equal(slotsOf(EXAMPLE.document, pair.flows[0] as FlowOfPair), Number(known?.[1]) + 1, 'where the file does not say');
  assert.equal(nameOf(document, flow), 'use1-usw2');
  assert.equal(nameOf({ ...document, flows: { [flow.file]: `name = "eu"\n${text}` } }, flow), 'eu');
  const flowText = container('flow-file')?.Environment?.find((it) => it.Name === 'FLOW')?.Value ?? '';
  assert.ok(flowText.includes('emf = true') && !flowText.includes('secretsmanager:us-east-1'));
});

test('people come in through Session Manager, what they type is kept, and the task ends by itself', () => {
  const [operator] = (task('understudy-payments-operator')['ContainerDefinitions'] ?? []) as Container[];
  assert.match(operator?.Command?.[0] ?? '', /exec \/busybox\/sleep 28800$/);
  assert.deepEqual(operator?.Environment?.length, 2);
  replicator.hasResourceProperties('AWS::ECS::Cluster', {
    Configuration: { ExecuteCommandConfiguration: { Logging: 'OVERRIDE', LogConfiguration: { CloudWatchEncryptionEnabled: true } } },
  });
});

test('the Dockerfile makes what tasks run', () => {
  const dockerfile = repositoryFile('Dockerfile');
  const toolchain = /channel = "([^"]+)"/.exec(repositoryFile('rust-toolchain.toml'))?.[1];
  assert.ok(dockerfile.includes(`ARG TOOLCHAIN=rust:${toolchain}-slim-`), 'another toolchain than rust-toolchain.toml');
  for (const target of ['operator', 'replicator']) {
    const stage = dockerfile.split(/^FROM /m).find((it) => it.split('\n')[0]?.endsWith(` AS ${target}`)) ?? '';
    assert.ok(stage.includes('USER 65532:65532') && stage.includes('VOLUME /run/understudy'), target);
    assert.ok(stage.includes('ENTRYPOINT ["/usr/local/bin/understudy"]'), target);
  }
  assert.ok(!/:latest/.test(dockerfile));
  const bases = [...dockerfile.matchAll(/^FROM \$\{([A-Z_]+)\} AS/gm)].map((it) => it[1] ?? '');
  assert.deepEqual(bases, ['TOOLCHAIN', 'BASE_WITH_SHELL', 'BASE']);
  for (const base of bases) {
    assert.match(dockerfile, new RegExp(`^ARG ${base}=[^ :]+:[^ ]+$`, 'm'), `${base} has no tag`);
  }
  const copied = repositoryFile('.dockerignore').split('\n').filter((line) => line.startsWith('!')).map((line) => line.slice(1));
  const members = [...repositoryFile('Cargo.toml').matchAll(/^ {2}"([a-z]+)[/"]/gm)].map((it) => it[1] ?? '');
  for (const member of new Set(members)) {
    assert.ok(copied.includes(member), `${member} is of the workspace and not of the image`);
  }
});
