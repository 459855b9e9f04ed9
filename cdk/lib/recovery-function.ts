import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import type { Place } from './place.js';
import type { Step } from './steps.js';

/** Properties of a {@link RecoveryFunction}. */
export interface RecoveryFunctionProps {
  /** The step that it carries out. */
  readonly step: Step;
  /** The function's name. */
  readonly functionName: string;
  /** The folder that holds `bootstrap`: one program, which carries out the step that its environment names. */
  readonly code: lambda.Code;
  /** How long it may take, in seconds. */
  readonly timeoutSeconds: number;
  /** Its environment, beside the step. */
  readonly environment: Readonly<Record<string, string>>;
  /** The processors that the program is built for. */
  readonly architecture: lambda.Architecture;
  /** How long its log is kept. */
  readonly logDays: number;
  /** The key that its log is encrypted under. */
  readonly key: kms.IKey;
  /** Where it runs if it connects to clusters; left out where they are reached without a VPC. */
  readonly network?: Place;
}

/** One step's function, with a role and a log of its own. What it may reach is granted by whoever owns that. */
export class RecoveryFunction extends Construct {
  readonly function: lambda.Function;
  readonly role: iam.Role;

  constructor(scope: Construct, id: string, props: RecoveryFunctionProps) {
    super(scope, id);
    const log = new logs.LogGroup(this, 'Log', {
      logGroupName: `/aws/lambda/${props.functionName}`,
      retention: props.logDays,
      encryptionKey: props.key,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    this.role = new iam.Role(this, 'Role', {
      description: `Understudy's step ${props.step}`,
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
    });
    this.function = new lambda.Function(this, 'Function', {
      functionName: props.functionName,
      description: `Understudy: ${props.step}`,
      runtime: lambda.Runtime.PROVIDED_AL2023,
      architecture: props.architecture,
      handler: 'bootstrap',
      code: props.code,
      memorySize: 512,
      timeout: Duration.seconds(props.timeoutSeconds),
      environment: { UNDERSTUDY_STEP: props.step, ...props.environment },
      role: this.role,
      logGroup: log,
      loggingFormat: lambda.LoggingFormat.JSON,
      tracing: lambda.Tracing.ACTIVE,
    });
    log.grantWrite(this.role);
    if (props.network !== undefined) {
      this.place(props.network);
    }
  }

  /** Runs it in subnets of the account. Said to CloudFormation as it is: there is nothing to be made or looked up. */
  private place(network: Place): void {
    (this.function.node.defaultChild as lambda.CfnFunction).vpcConfig = {
      subnetIds: [...network.subnets],
      securityGroupIds: [...network.securityGroups],
    };
    this.role.addToPolicy(
      new iam.PolicyStatement({
        sid: 'EnterNetwork',
        actions: [
          'ec2:AssignPrivateIpAddresses',
          'ec2:CreateNetworkInterface',
          'ec2:DeleteNetworkInterface',
          'ec2:DescribeNetworkInterfaces',
          'ec2:DescribeSubnets',
          'ec2:UnassignPrivateIpAddresses',
        ],
        // The interfaces do not exist beforehand, and describing has no resources.
        resources: ['*'],
      }),
    );
  }
}
