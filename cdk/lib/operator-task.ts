import { Validations } from 'aws-cdk-lib';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import type { Config } from './config.js';
import { FLOW_FOLDER, flowFile } from './flow-file.js';
import { image, runtimePlatform } from './images.js';
import { type PairDocument, secretsOf } from './pair.js';
import { acknowledge, logIn, permit } from './permissions.js';
import { permitWorkers } from './worker-permissions.js';

/** Properties of an {@link OperatorTask}. */
export interface OperatorTaskProps {
  /** What is deployed. */
  readonly config: Config;
  /** The pair and its flow files, as this Region reads them. */
  readonly document: PairDocument;
  /** The Region. */
  readonly region: string;
  /** The task's family. */
  readonly family: string;
  /** Where it logs. */
  readonly log: logs.ILogGroup;
  /** Where what people typed and saw is kept. */
  readonly sessions: logs.ILogGroup;
  /** The key that sessions are encrypted under. */
  readonly keyArn: string;
}

/** How long it stays, in seconds: a working day; nobody has to remember to stop it. */
const STAYS_SECONDS = 8 * 3600;

/**
 * The way in: a task with `understudy`, a shell and both flow files, which a person starts, enters through Session Manager
 * and leaves. No port is open for it, what is typed is kept, and it ends by itself.
 */
export class OperatorTask extends Construct {
  readonly definition: ecs.FargateTaskDefinition;

  constructor(scope: Construct, id: string, props: OperatorTaskProps) {
    super(scope, id);
    const { document, region } = props;
    const role = new iam.Role(this, 'Role', {
      description: 'Understudy: what a person in the operator task may do',
      assumedBy: new iam.ServicePrincipal('ecs-tasks.amazonaws.com'),
    });
    logIn(role, region, secretsOf(document));
    if (props.config.kafkaIam) {
      this.asWorkers(role, props);
    }
    this.enter(role, props);
    this.definition = new ecs.FargateTaskDefinition(this, 'Definition', {
      family: props.family,
      cpu: 512,
      memoryLimitMiB: 1024,
      runtimePlatform: runtimePlatform(props.config),
      taskRole: role,
      volumes: [{ name: 'flow' }],
    });
    const flows = document.pair.flows;
    const lay = flows.map((flow, index) => `printf '%s' "$FLOW_${index}" > ${FLOW_FOLDER}/${flow.source}-${flow.target}.toml`);
    this.definition
      .addContainer('operator', {
        image: image(props.config, 'operator'),
        entryPoint: ['/busybox/sh', '-c'],
        command: [`${lay.join(' && ')} && exec /busybox/sleep ${STAYS_SECONDS}`],
        environment: Object.fromEntries(flows.map((flow, index) => [`FLOW_${index}`, flowFile(document, flow)])),
        // Session Manager's agent writes beside the program; nothing of it outlives the task.
        readonlyRootFilesystem: false,
        linuxParameters: new ecs.LinuxParameters(this, 'Init', { initProcessEnabled: true }),
        logging: ecs.LogDriver.awsLogs({ streamPrefix: 'operator', logGroup: props.log }),
      })
      .addMountPoints({ sourceVolume: 'flow', containerPath: FLOW_FOLDER, readOnly: false });
    Validations.of(this.definition).acknowledge({
      id: 'AwsSolutions-ECS2',
      reason: 'The variables are the texts of the flow files, which name secrets and hold none.',
    });
    Validations.of(this.definition).acknowledge({ id: 'AwsSolutions-IAM5[Resource::*]', reason: 'ecr:GetAuthorizationToken has no resources.' });
  }

  /** Where clusters are logged in to by IAM, it may do what workers of both flows may. */
  private asWorkers(role: iam.Role, { config, document, region }: OperatorTaskProps): void {
    for (const [index, flow] of document.pair.flows.entries()) {
      permitWorkers(role, { pair: document.pair, flow, secrets: [], region, kafkaIam: config.kafkaIam, suffix: `OfFlow${index + 1}` });
    }
  }

  /** What Session Manager needs. */
  private enter(role: iam.Role, props: OperatorTaskProps): void {
    permit(
      role,
      'Enter',
      [
        'ssmmessages:CreateControlChannel',
        'ssmmessages:CreateDataChannel',
        'ssmmessages:OpenControlChannel',
        'ssmmessages:OpenDataChannel',
      ],
      ['*'],
    );
    acknowledge(role, 'Resource::*', 'Channels of Session Manager and the list of log groups have no resources');
    permit(role, 'Record', ['logs:CreateLogStream', 'logs:DescribeLogStreams', 'logs:PutLogEvents'], [props.sessions.logGroupArn]);
    permit(role, 'FindRecord', ['logs:DescribeLogGroups'], ['*']);
    permit(role, 'EncryptSession', ['kms:Decrypt'], [props.keyArn]);
  }
}
