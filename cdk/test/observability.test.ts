import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENDPOINTS } from '../lib/network-endpoints.js';
import { EXAMPLE, EXAMPLES, FROM_SCRATCH, repositoryFile, resources, stackOf, statements, templates } from './templates.js';

const west = stackOf(FROM_SCRATCH, 'us-west-2', 'Observability');
const named = (name: string) => {
  const all = ['AWS::CloudWatch::Alarm', 'AWS::CloudWatch::CompositeAlarm'].flatMap((type) => resources(west, type));
  const found = all.find(([, it]) => (it.Properties['AlarmName'] ?? '') === `understudy-payments-${name}`);
  assert.ok(found !== undefined, `there is no alarm ${name}`);
  return found[1].Properties;
};

test('every alarm has a section of its runbook, every section an alarm, and each says what missing data means', () => {
  const runbook = repositoryFile('docs', 'alarms.md');
  const sections = [...runbook.matchAll(/^## (.+)$/gm)].map((match) => match[1] ?? '');
  const wanted = new Set<string>();
  for (const [name, config] of EXAMPLES) {
    for (const [stack, template] of templates(config).all) {
      for (const type of ['AWS::CloudWatch::Alarm', 'AWS::CloudWatch::CompositeAlarm']) {
        for (const [id, alarm] of resources(template, type)) {
          assert.ok(type === 'AWS::CloudWatch::CompositeAlarm' || alarm.Properties['TreatMissingData'], `${name}: ${stack}: ${id}`);
          const section = /Runbook: docs\/alarms\.md#([a-z-]+)$/.exec(String(alarm.Properties['AlarmDescription']))?.[1];
          assert.ok(section !== undefined, `${stack}: ${id} names no runbook`);
          wanted.add(section);
        }
      }
    }
  }
  assert.deepEqual([...wanted].sort(), [...sections].sort());
  for (const section of runbook.split(/^## /m).slice(1)) {
    assert.match(section, /missing data is|tells? nobody|treat it as|or MSK’s metrics are silent/i, `${section.split('\n')[0]}: what does silence mean?`);
  }
});

test('alarms stand on metrics that are written: workers’, probers’, and the age of secrets', () => {
  const emf = [...repositoryFile('replicator', 'service', 'src', 'emf.rs').matchAll(/"([A-Z][A-Za-z]+)",\s*"(?:Count|Seconds|Bytes|None)"/g)].map((it) => it[1]);
  const probes = [...repositoryFile('functions', 'aws', 'src', 'signals.rs').matchAll(/datum\("([A-Za-z]+)"/g)].map((it) => it[1]);
  const ages = [...repositoryFile('cdk', 'inline', 'credential_age.py').matchAll(/"MetricName": "([A-Za-z]+)"/g)].map((it) => it[1]);
  assert.ok(emf.length >= 11 && probes.includes('PathProven') && ages.length === 1);
  const written = new Set([...emf, ...probes, ...ages]);
  for (const [stack, template] of templates(FROM_SCRATCH).all) {
    const text = JSON.stringify(template.toJSON());
    for (const match of text.matchAll(/"MetricName":"([A-Za-z]+)","Namespace":"Understudy"/g)) {
      assert.ok(written.has(match[1] ?? ''), `${stack}: nobody writes ${match[1]}`);
    }
    for (const match of text.matchAll(/\\"Understudy\\",\\"([A-Za-z]+)\\"/g)) {
      assert.ok(written.has(match[1] ?? ''), `${stack}: nobody writes ${match[1]}, which its dashboard shows`);
    }
  }
  assert.ok(repositoryFile('replicator', 'service', 'src', 'emf.rs').includes('json!([["pair", "flow"]])'));
  const [, alarm] = resources(west, 'AWS::CloudWatch::Alarm').find(([, it]) => it.Properties['MetricName'] === 'GapsOpen') ?? [];
  assert.deepEqual(alarm?.Properties['Dimensions'], [{ Name: 'flow', Value: 'use1-usw2' }, { Name: 'pair', Value: 'payments' }]);
});

test('silence of a flow that is to run is bad, and of one that rests is not', () => {
  for (const [name, on] of [
    ['workers-silent', 'workers-heard'],
    ['recovery-point', 'recovery-point-seen'],
    ['source-unseen', 'source-seen'],
    ['slots-unheld', 'slots-held'],
  ] as const) {
    const below = named(`use1-usw2-${on}`);
    assert.equal(below['TreatMissingData'], 'breaching', on);
    assert.equal(below['AlarmActions'], undefined, `${on} tells people while the flow rests`);
    const rule = JSON.stringify(named(`use1-usw2-${name}`)['AlarmRule']);
    assert.match(rule, / AND .*NOT/, name);
    assert.match(rule, /rests/i, name);
  }
  const rests = named('use1-usw2-rests');
  assert.deepEqual([rests['TreatMissingData'], rests['MetricName'], rests['AlarmActions']], ['notBreaching', 'DesiredTaskCount', undefined]);
});

test('people are told when an alarm begins and when it ends, and by nothing that leads to a recovery', () => {
  for (const type of ['AWS::CloudWatch::Alarm', 'AWS::CloudWatch::CompositeAlarm']) {
    for (const [id, alarm] of resources(west, type)) {
      const actions = alarm.Properties['AlarmActions'] as unknown[] | undefined;
      if (actions !== undefined) {
        assert.match(JSON.stringify(actions), /understudy-payments-people"/, id);
        assert.deepEqual(alarm.Properties['OKActions'], actions, id);
      }
    }
  }
});

test('what the review asks for is watched', () => {
  const expected = [
    ...['workers-silent', 'recovery-point', 'source-unseen', 'slots-unheld', 'open-transaction', 'gaps', 'partitions-halted', 'worker-churn'].map(
      (it) => `use1-usw2-${it}`,
    ),
    ...['disk', 'cpu', 'under-replicated', 'under-min-isr', 'offline-partitions', 'controller'].map((it) => `usw2-${it}`),
    ...['login-refused', 'secret-age', 'certificate-end', 'ledger-conflicts', 'stuck', 'path-unproven-standby', 'path-unproven-active', 'failover-started', 'switchover-started'],
  ];
  for (const name of expected) {
    const alarm = named(name);
    assert.ok(alarm['AlarmActions'], `${name} tells nobody`);
  }
});

test('alarms are about this Region’s metrics only: CloudWatch evaluates no others', () => {
  for (const [id, alarm] of resources(west, 'AWS::CloudWatch::Alarm')) {
    assert.ok(!JSON.stringify(alarm.Properties).includes('us-east-1'), id);
  }
});

test('each broker is watched, of a cluster that is there already too', () => {
  const existing = stackOf(EXAMPLE, 'us-east-1', 'Observability');
  const [[, disk] = []] = resources(existing, 'AWS::CloudWatch::Alarm').filter(([, it]) => it.Properties['AlarmName'] === 'understudy-orders-use1-disk');
  const text = JSON.stringify(disk?.Properties['Metrics']);
  for (const broker of ['1', '2', '3']) {
    assert.ok(text.includes(`{"Name":"Broker ID","Value":"${broker}"}`), broker);
  }
  assert.ok(text.includes('{"Name":"Cluster Name","Value":"orders"}'));
});

test('no alarm looks at more metrics than CloudWatch takes, however many brokers there are', () => {
  const many = templates({ ...EXAMPLE, kafka: { existing: { brokers: 15 } } }).all.get('Understudy-orders-us-east-1-Observability')!;
  const looked = resources(many, 'AWS::CloudWatch::Alarm').map(([, it]) => (it.Properties['Metrics'] ?? []) as { MetricStat?: object }[]);
  assert.ok(looked.every((metrics) => metrics.filter((it) => it.MetricStat !== undefined).length <= 10));
  const seen = new Set(JSON.stringify(looked).match(/"Broker ID","Value":"\d+"/g));
  assert.equal(seen.size, 15);
});

test('workers that end are logged with their reason, and the rule may write nowhere else', () => {
  west.hasResourceProperties('AWS::Events::Rule', {
    EventPattern: { source: ['aws.ecs'], detail: { group: ['service:use1-usw2'], lastStatus: ['STOPPED'] } },
  });
  const [[, policy] = []] = resources(west, 'AWS::Logs::ResourcePolicy');
  assert.match(JSON.stringify(policy?.Properties['PolicyDocument']), /aws:SourceArn/);
});

test('the age of secrets is told by a function that cannot read them', () => {
  const may = statements(west).filter(({ policy }) => policy.startsWith('CredentialsAges')).flatMap(({ statement }) => statement.Action);
  assert.ok(may.includes('secretsmanager:DescribeSecret') && !may.includes('secretsmanager:GetSecretValue'));
  assert.ok(ENDPOINTS.includes('monitoring'));
});

test('a dashboard per pair shows both directions', () => {
  const [[, dashboard] = []] = resources(west, 'AWS::CloudWatch::Dashboard');
  const body = JSON.stringify(dashboard?.Properties['DashboardBody']);
  for (const word of ['use1-usw2', 'usw2-use1', 'RecoveryPointSeconds', 'FailoverPossible', 'us-east-1', 'us-west-2']) {
    assert.ok(body.includes(word), word);
  }
});
