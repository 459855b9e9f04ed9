import { RemovalPolicy } from 'aws-cdk-lib';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as logs from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import type { Config, Workers } from './config.js';
import { FlowService } from './flow-service.js';
import { InlineFunction } from './inline-function.js';
import { OperatorTask } from './operator-task.js';
import { type FlowOfPair, readIn, type Side } from './pair.js';
import { constructsOf, placeOf } from './place.js';
import { RegionStack } from './region-stack.js';

/** Properties of a {@link ReplicatorStack}. */
export interface ReplicatorStackProps {
  /** What is deployed. */
  readonly config: Config;
  /** This Region's side of the pair. */
  readonly side: Side;
  /** The workers. */
  readonly workers: Workers;
}

/** The workers of the flow into this Region, and the task by which people come in. */
export class ReplicatorStack extends RegionStack {
  constructor(scope: Construct, id: string, props: ReplicatorStackProps) {
    const { config, side, workers } = props;
    super(scope, id, { config, region: side.region, description: `the workers that copy to ${side.alias}` });
    const document = readIn(config.document, side.region);
    const flow = flowTo(document.pair.flows, side.alias);
    const place = placeOf(config, this.names, side.region, 'workers');
    if (place === undefined) {
      throw new Error(`there is no network for the workers beside ${side.alias}`);
    }
    const keyArn = this.names.read('key');
    const [clusterName = '', serviceName = ''] = (flow.service ?? '').split('/');
    const sessions = this.log('Sessions', 'operator-sessions', config.logDays, keyArn);
    const cluster = new ecs.Cluster(this, 'Cluster', {
      clusterName,
      vpc: constructsOf(this, 'Cluster', place).vpc,
      containerInsightsV2: ecs.ContainerInsights.ENABLED,
      executeCommandConfiguration: {
        kmsKey: kms.Key.fromKeyArn(this, 'SessionKey', keyArn),
        logging: ecs.ExecuteCommandLogging.OVERRIDE,
        logConfiguration: { cloudWatchLogGroup: sessions, cloudWatchEncryptionEnabled: true },
      },
    });
    const counter = new InlineFunction(this, 'Counter', {
      functionName: `${this.names.prefix}-workers-now`,
      description: 'Understudy: how many workers a service has, so that a deployment leaves them',
      file: 'workers_now.py',
      logDays: config.logDays,
      keyArn,
      permits: [
        new iam.PolicyStatement({
          sid: 'CountWorkers',
          actions: ['ecs:DescribeServices'],
          resources: [this.formatArn({ service: 'ecs', resource: 'service', resourceName: `${clusterName}/${serviceName}` })],
        }),
      ],
    });
    new FlowService(this, 'Flow', {
      config,
      workers,
      document,
      flow,
      place,
      cluster,
      counter,
      prefix: this.names.prefix,
      log: this.log('WorkersLog', 'workers', config.logDays, keyArn),
    });
    new OperatorTask(this, 'Operator', {
      config,
      document,
      region: side.region,
      family: `${this.names.prefix}-operator`,
      log: this.log('OperatorLog', 'operator', config.logDays, keyArn),
      sessions,
      keyArn,
    });
  }

  private log(id: string, what: string, retention: number, keyArn: string): logs.LogGroup {
    const log = new logs.LogGroup(this, id, { logGroupName: this.names.log(what), retention, removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE });
    // The key is another stack's: by its ARN, which that one tells.
    (log.node.defaultChild as logs.CfnLogGroup).kmsKeyId = keyArn;
    return log;
  }
}

function flowTo(flows: readonly FlowOfPair[], alias: string): FlowOfPair {
  const flow = flows.find((it) => it.target === alias);
  if (flow === undefined) {
    throw new Error(`the pair has no flow to ${alias}`);
  }
  return flow;
}
