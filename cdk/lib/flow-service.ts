import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import type { Config, Workers } from './config.js';
import { flowFile, nameOf, slotsOf } from './flow-file.js';
import { FlowScaling } from './flow-scaling.js';
import type { InlineFunction } from './inline-function.js';
import { type FlowOfPair, type PairDocument, secretsIn } from './pair.js';
import { constructsOf, type Place } from './place.js';
import { permitWorkers } from './worker-permissions.js';
import { WorkerTask } from './worker-task.js';
import { WorkersNow } from './workers-now.js';

/** Properties of a {@link FlowService}. */
export interface FlowServiceProps {
  /** What is deployed. */
  readonly config: Config;
  /** The workers. */
  readonly workers: Workers;
  /** The pair and its flow files, as this Region reads them. */
  readonly document: PairDocument;
  /** The flow whose target is in this Region. */
  readonly flow: FlowOfPair;
  /** Where workers run. */
  readonly place: Place;
  /** The service's cluster. */
  readonly cluster: ecs.ICluster;
  /** Says how many workers a service has. */
  readonly counter: InlineFunction;
  /** What names begin with. */
  readonly prefix: string;
  /** Where workers log. */
  readonly log: logs.ILogGroup;
}

/** How many workers a flow has while it runs, unless the pair says otherwise. */
export const WORKERS = 2;

/**
 * A flow's workers, beside its target. Both directions have one, alike; which of them runs is data: it is made with no
 * workers, recoveries and people start and stop them, and a deployment leaves their number alone.
 */
export class FlowService extends Construct {
  readonly service: ecs.FargateService;

  constructor(scope: Construct, id: string, props: FlowServiceProps) {
    super(scope, id);
    const { config, document, flow, workers } = props;
    const [clusterName = '', serviceName = ''] = (flow.service ?? '').split('/');
    const role = new iam.Role(this, 'Role', {
      description: `Understudy: workers of ${nameOf(document, flow)}`,
      assumedBy: new iam.ServicePrincipal('ecs-tasks.amazonaws.com'),
    });
    const region = document.pair.clusters[flow.target]?.region ?? '';
    const secrets = secretsIn(document.flows[flow.file] ?? '');
    permitWorkers(role, { pair: document.pair, flow, secrets, region, kafkaIam: config.kafkaIam });
    const task = new WorkerTask(this, 'Task', {
      config,
      workers,
      family: `${props.prefix}-${serviceName}`,
      flow: flowFile(document, flow),
      role,
      log: props.log,
    });
    const { vpcSubnets, securityGroups } = constructsOf(this, 'Place', props.place);
    this.service = new ecs.FargateService(this, 'Service', {
      serviceName,
      cluster: props.cluster,
      taskDefinition: task.definition,
      platformVersion: ecs.FargatePlatformVersion.VERSION1_4,
      vpcSubnets,
      securityGroups,
      assignPublicIp: false,
      enableExecuteCommand: false,
      circuitBreaker: { enable: true, rollback: true },
      // A new one joins before an old one leaves: slots move to it, and copying pauses for as long as they do.
      minHealthyPercent: 100,
      maxHealthyPercent: 200,
      availabilityZoneRebalancing: ecs.AvailabilityZoneRebalancing.ENABLED,
      propagateTags: ecs.PropagatedTagSource.SERVICE,
    });
    new WorkersNow(this, 'Workers', { counter: props.counter, service: this.service, cluster: clusterName, name: serviceName });
    const usual = flow.workers ?? WORKERS;
    new FlowScaling(this, 'Scaling', {
      prefix: `${props.prefix}-${nameOf(document, flow)}`,
      pair: document.pair.name,
      flow: nameOf(document, flow),
      cluster: clusterName,
      service: serviceName,
      usual,
      most: Math.max(usual, Math.min(workers.most, slotsOf(document, flow))),
      behindSeconds: workers.recoveryPointSeconds / 2,
    }).node.addDependency(this.service);
  }
}
