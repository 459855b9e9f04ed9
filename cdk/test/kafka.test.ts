import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SERVER_PROPERTIES } from '../lib/kafka-cluster.js';
import { EXAMPLE, FROM_SCRATCH, resources, stackOf, templates } from './templates.js';

const kafka = stackOf(FROM_SCRATCH, 'us-west-2', 'Kafka');

test('the cluster takes TLS and SCRAM, nothing else, in three zones, with everything told', () => {
  kafka.hasResourceProperties('AWS::MSK::Cluster', {
    ClusterName: 'understudy-payments',
    KafkaVersion: '4.1.x.kraft',
    NumberOfBrokerNodes: 3,
    ClientAuthentication: { Sasl: { Scram: { Enabled: true }, Iam: { Enabled: false } }, Unauthenticated: { Enabled: false } },
    EncryptionInfo: { EncryptionInTransit: { ClientBroker: 'TLS', InCluster: true } },
    EnhancedMonitoring: 'PER_BROKER',
    LoggingInfo: { BrokerLogs: { CloudWatchLogs: { Enabled: true } } },
    OpenMonitoring: { Prometheus: { JmxExporter: { EnabledInBroker: true }, NodeExporter: { EnabledInBroker: true } } },
    BrokerNodeGroupInfo: { ConnectivityInfo: { PublicAccess: { Type: 'DISABLED' } } },
  });
});

test('what is acknowledged is on two brokers, and no leader lacks it', () => {
  const [[, configuration] = []] = resources(kafka, 'AWS::MSK::Configuration');
  const lines = String(configuration?.Properties['ServerProperties']).split('\n');
  assert.equal(lines.length, Object.keys(SERVER_PROPERTIES).length);
  for (const line of ['min.insync.replicas=2', 'default.replication.factor=3', 'unclean.leader.election.enable=false', 'auto.create.topics.enable=false']) {
    assert.ok(lines.includes(line), line);
  }
});

test('disks grow before they are full, and never shrink', () => {
  kafka.hasResourceProperties('AWS::ApplicationAutoScaling::ScalingPolicy', {
    TargetTrackingScalingPolicyConfiguration: {
      DisableScaleIn: true,
      TargetValue: 60,
      PredefinedMetricSpecification: { PredefinedMetricType: 'KafkaBrokerStorageUtilization' },
    },
  });
  kafka.hasResourceProperties('AWS::ApplicationAutoScaling::ScalableTarget', { MaxCapacity: 1000 });
});

test('the login is one that MSK takes, told to it, and is in the other Region too', () => {
  kafka.hasResourceProperties('AWS::SecretsManager::Secret', {
    Name: 'AmazonMSK_understudy-payments-usw2',
    ReplicaRegions: [{ Region: 'us-east-1', KmsKeyId: 'alias/understudy-payments-network' }],
  });
  const there = stackOf(FROM_SCRATCH, 'us-east-1', 'Network');
  there.hasResourceProperties('AWS::KMS::Alias', { AliasName: 'alias/understudy-payments-network' });
  kafka.resourceCountIs('AWS::MSK::BatchScramSecret', 1);
  const [[, policy] = []] = resources(kafka, 'AWS::SecretsManager::ResourcePolicy');
  assert.match(JSON.stringify(policy?.Properties), /"secretsmanager:GetSecretValue".*"kafka.amazonaws.com"/);
  const text = Object.values(FROM_SCRATCH.document.flows).join();
  assert.ok(text.includes(':secret:AmazonMSK_understudy-payments-usw2-'), 'the example’s flows name another secret');
});

test('no cluster is made where there is one', () => {
  for (const [name, template] of templates(EXAMPLE).all) {
    assert.equal(resources(template, 'AWS::MSK::Cluster').length, 0, name);
    assert.equal(resources(template, 'AWS::EC2::VPC').length, 0, name);
  }
});

test('with IAM there is no password', () => {
  const withIam = templates({ ...FROM_SCRATCH, kafkaIam: true }).all.get('Understudy-payments-us-west-2-Kafka')!;
  withIam.hasResourceProperties('AWS::MSK::Cluster', { ClientAuthentication: { Sasl: { Iam: { Enabled: true }, Scram: { Enabled: false } } } });
  withIam.resourceCountIs('AWS::SecretsManager::Secret', 0);
});
