import { RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as scaling from 'aws-cdk-lib/aws-applicationautoscaling';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as msk from 'aws-cdk-lib/aws-msk';
import { Construct } from 'constructs';
import type { NewKafka } from './config.js';
import type { Place } from './place.js';

/** Properties of a {@link KafkaCluster}. */
export interface KafkaClusterProps {
  /** Its name. */
  readonly clusterName: string;
  /** What it is made of. */
  readonly kafka: NewKafka;
  /** Where its brokers are. */
  readonly place: Place;
  /** The key of its disks and its log. */
  readonly key: kms.IKey;
  /** Whether it is logged in to by IAM; otherwise by SCRAM. */
  readonly iam: boolean;
  /** Its brokers' log. */
  readonly logGroupName: string;
  /** How long that is kept, in days. */
  readonly logDays: number;
}

/** How full disks are when they grow. */
const GROW_AT_PERCENT = 60;

/**
 * What a mirrored cluster must have set. Topics are made by people; three replicas, of which two must have a record before
 * it is acknowledged; no leader that lacks acknowledged records; places of groups outlive a long standstill.
 */
export const SERVER_PROPERTIES: Readonly<Record<string, string>> = {
  'auto.create.topics.enable': 'false',
  'default.replication.factor': '3',
  'min.insync.replicas': '2',
  'unclean.leader.election.enable': 'false',
  'offsets.retention.minutes': '20160',
  'num.partitions': '3',
};

/** An MSK cluster: KRaft, three zones, TLS only, everything encrypted under one key, metrics of each broker. */
export class KafkaCluster extends Construct {
  readonly cluster: msk.CfnCluster;

  constructor(scope: Construct, id: string, props: KafkaClusterProps) {
    super(scope, id);
    const { kafka, place } = props;
    const configuration = new msk.CfnConfiguration(this, 'Configuration', {
      name: `${props.clusterName}-${kafka.version.replaceAll('.', '-')}`,
      description: 'Understudy: durable before fast',
      kafkaVersionsList: [kafka.version],
      serverProperties: Object.entries(SERVER_PROPERTIES).map(([key, value]) => `${key}=${value}`).join('\n'),
    });
    const log = new logs.LogGroup(this, 'Log', {
      logGroupName: props.logGroupName,
      retention: props.logDays,
      encryptionKey: props.key,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    this.cluster = new msk.CfnCluster(this, 'Cluster', {
      clusterName: props.clusterName,
      kafkaVersion: kafka.version,
      numberOfBrokerNodes: kafka.brokersPerZone * place.subnets.length,
      brokerNodeGroupInfo: {
        instanceType: kafka.instance,
        clientSubnets: [...place.subnets],
        securityGroups: [...place.securityGroups],
        storageInfo: { ebsStorageInfo: { volumeSize: kafka.volumeGiB } },
        connectivityInfo: { publicAccess: { type: 'DISABLED' } },
      },
      encryptionInfo: {
        encryptionAtRest: { dataVolumeKmsKeyId: props.key.keyArn },
        encryptionInTransit: { clientBroker: 'TLS', inCluster: true },
      },
      clientAuthentication: {
        sasl: { iam: { enabled: props.iam }, scram: { enabled: !props.iam } },
        unauthenticated: { enabled: false },
      },
      configurationInfo: { arn: configuration.attrArn, revision: configuration.attrLatestRevisionRevision as unknown as number },
      enhancedMonitoring: 'PER_BROKER',
      openMonitoring: { prometheus: { jmxExporter: { enabledInBroker: true }, nodeExporter: { enabledInBroker: true } } },
      loggingInfo: { brokerLogs: { cloudWatchLogs: { enabled: true, logGroup: log.logGroupName } } },
    });
    this.cluster.applyRemovalPolicy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE);
    // Disks grow by themselves, and the size in a template is where they began.
    this.growDisks(kafka);
  }

  private growDisks(kafka: NewKafka): void {
    const { account, partition } = Stack.of(this);
    const service = 'kafka.application-autoscaling.amazonaws.com';
    const target = new scaling.CfnScalableTarget(this, 'Disks', {
      serviceNamespace: 'kafka',
      scalableDimension: 'kafka:broker-storage:VolumeSize',
      resourceId: this.cluster.ref,
      // Disks never shrink; MSK wants the lower bound to be 1.
      minCapacity: 1,
      maxCapacity: kafka.volumeMaxGiB,
      roleArn: `arn:${partition}:iam::${account}:role/aws-service-role/${service}/AWSServiceRoleForApplicationAutoScaling_KafkaCluster`,
    });
    new scaling.CfnScalingPolicy(this, 'GrowDisks', {
      policyName: `${this.node.id}-grow-disks`,
      policyType: 'TargetTrackingScaling',
      scalingTargetId: target.ref,
      targetTrackingScalingPolicyConfiguration: {
        targetValue: GROW_AT_PERCENT,
        disableScaleIn: true,
        predefinedMetricSpecification: { predefinedMetricType: 'KafkaBrokerStorageUtilization' },
      },
    });
  }
}
