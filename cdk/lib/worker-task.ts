import { Duration, Validations } from 'aws-cdk-lib';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import type * as iam from 'aws-cdk-lib/aws-iam';
import type * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import type { Config, Workers } from './config.js';
import { FLOW_FOLDER } from './flow-file.js';
import { image, runtimePlatform } from './images.js';

/** Properties of a {@link WorkerTask}. */
export interface WorkerTaskProps {
  /** What is deployed. */
  readonly config: Config;
  /** How large a task is. */
  readonly workers: Workers;
  /** The task's family. */
  readonly family: string;
  /** The text of the flow's file. */
  readonly flow: string;
  /** What workers may do. */
  readonly role: iam.Role;
  /** Where they log, and where CloudWatch finds their metrics. */
  readonly log: logs.ILogGroup;
}

/** The user that every container runs as. */
export const NOBODY = '65532:65532';

/**
 * How long a worker may take to stop. It commits or aborts what is open (15 s at most for each step, 20 s for a take-over
 * that has begun) and leaves its group; ECS allows no more than this. One that is killed loses nothing either.
 */
const STOP = Duration.seconds(120);

/**
 * One worker: its flow file is laid in a folder of the task, then it runs without a shell and with nothing to write to.
 * The same binary asks for its health.
 */
export class WorkerTask extends Construct {
  readonly definition: ecs.FargateTaskDefinition;

  constructor(scope: Construct, id: string, props: WorkerTaskProps) {
    super(scope, id);
    this.definition = new ecs.FargateTaskDefinition(this, 'Definition', {
      family: props.family,
      cpu: props.workers.cpu,
      memoryLimitMiB: props.workers.memoryMiB,
      runtimePlatform: runtimePlatform(props.config),
      taskRole: props.role,
      volumes: [{ name: 'flow' }],
    });
    const logging = (streamPrefix: string) => ecs.LogDriver.awsLogs({ streamPrefix, logGroup: props.log, mode: ecs.AwsLogDriverMode.NON_BLOCKING });
    const plain = { readonlyRootFilesystem: true, user: NOBODY, privileged: false } as const;
    const lay = this.definition.addContainer('flow-file', {
      ...plain,
      image: image(props.config, 'operator'),
      essential: false,
      entryPoint: ['/busybox/sh', '-c'],
      command: [`printf '%s' "$FLOW" > ${FLOW_FOLDER}/flow.toml`],
      environment: { FLOW: props.flow },
      logging: logging('flow-file'),
    });
    const worker = this.definition.addContainer('worker', {
      ...plain,
      image: image(props.config, 'replicator'),
      command: ['replicate', `${FLOW_FOLDER}/flow.toml`, '--log', 'json'],
      stopTimeout: STOP,
      healthCheck: {
        command: ['CMD', '/usr/local/bin/understudy', 'healthcheck'],
        interval: Duration.seconds(15),
        timeout: Duration.seconds(5),
        retries: 4,
        startPeriod: Duration.seconds(60),
      },
      logging: logging('worker'),
      ulimits: [{ name: ecs.UlimitName.NOFILE, softLimit: 65_536, hardLimit: 65_536 }],
    });
    lay.addMountPoints({ sourceVolume: 'flow', containerPath: FLOW_FOLDER, readOnly: false });
    worker.addMountPoints({ sourceVolume: 'flow', containerPath: FLOW_FOLDER, readOnly: true });
    worker.addContainerDependencies({ container: lay, condition: ecs.ContainerDependencyCondition.SUCCESS });
    Validations.of(this.definition).acknowledge({
      id: 'AwsSolutions-ECS2',
      reason: 'The one variable is the text of the flow file, which names secrets and holds none; workers read them when they run.',
    });
    Validations.of(this.definition).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'ecr:GetAuthorizationToken has no resources.',
    });
  }
}
