import { CfnOutput } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import type { Config, NewKafka } from './config.js';
import { KafkaCluster } from './kafka-cluster.js';
import { KafkaKey } from './kafka-key.js';
import { KafkaLogin } from './kafka-login.js';
import type { Side } from './pair.js';
import { placeOf } from './place.js';
import { RegionStack } from './region-stack.js';

/** Properties of a {@link KafkaStack}. */
export interface KafkaStackProps {
  /** What is deployed. */
  readonly config: Config;
  /** This Region's side of the pair. */
  readonly side: Side;
  /** The cluster. */
  readonly kafka: NewKafka;
}

/** A Region's MSK cluster and Understudy's login to it. What is in it is nobody's to delete: it outlives its stack. */
export class KafkaStack extends RegionStack {
  constructor(scope: Construct, id: string, props: KafkaStackProps) {
    const { config, side, kafka } = props;
    super(scope, id, { config, region: side.region, description: `the cluster ${side.alias}` });
    const place = placeOf(config, this.names, side.region, 'brokers');
    if (place === undefined) {
      throw new Error(`there is no network for the cluster ${side.alias}`);
    }
    const { key } = new KafkaKey(this, 'Key', { name: `${this.names.prefix}-kafka` });
    const { cluster } = new KafkaCluster(this, 'Cluster', {
      clusterName: this.names.cluster,
      kafka,
      place,
      key,
      iam: config.kafkaIam,
      logGroupName: this.names.log('brokers'),
      logDays: config.logDays,
    });
    if (!config.kafkaIam) {
      const login = new KafkaLogin(this, 'Login', {
        secretName: this.names.loginSecret(side.alias),
        username: 'understudy',
        cluster,
        key,
        // The network's, because it is there first.
        replica: { region: side.other.region, keyAlias: `alias/${this.names.networkKey}` },
      });
      new CfnOutput(this, 'LoginSecret', { value: login.secret.secretArn, description: 'For ${secretsmanager:…} in flow files' });
    }
    new CfnOutput(this, 'ClusterArn', { value: cluster.ref, description: 'For msk_arn in the pair' });
  }
}
