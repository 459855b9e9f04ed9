import { Duration, RemovalPolicy, Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as sfn from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import type { Definition } from './definitions.js';
import type { RecoveryFunction } from './recovery-function.js';
import { placeholderOf, type Step } from './steps.js';

/** Properties of a {@link RecoveryMachine}. */
export interface RecoveryMachineProps {
  /** The machine's name. */
  readonly stateMachineName: string;
  /** Its definition, from `statemachines/`. */
  readonly definition: Definition;
  /** The functions that it may call: exactly those that it names. */
  readonly functions: ReadonlyMap<Step, RecoveryFunction>;
  /** The key that executions and their log are encrypted under. */
  readonly key: kms.IKey;
  /** How long its log is kept. */
  readonly logDays: number;
  /** Whether executions are encrypted under the key; stand-ins do not know how. */
  readonly encrypted: boolean;
}

/** One state machine. Its log holds states and no payloads: the tokens of tasks that wait are credentials. */
export class RecoveryMachine extends Construct {
  readonly machine: sfn.StateMachine;

  constructor(scope: Construct, id: string, props: RecoveryMachineProps) {
    super(scope, id);
    const called = props.definition.steps.map((step) => {
      const found = props.functions.get(step);
      if (found === undefined) {
        throw new Error(`${props.definition.name} calls ${step}, for which there is no function`);
      }
      return [step, found] as const;
    });
    const arns = called.map(([step, found]) => [placeholderOf(step), found.function.functionArn] as const);
    this.machine = new sfn.StateMachine(this, 'Machine', {
      stateMachineName: props.stateMachineName,
      stateMachineType: sfn.StateMachineType.STANDARD,
      definitionBody: sfn.DefinitionBody.fromString(props.definition.text),
      definitionSubstitutions: Object.fromEntries(arns),
      tracingEnabled: true,
      logs: {
        destination: new logs.LogGroup(this, 'Log', {
          logGroupName: `/aws/vendedlogs/states/${props.stateMachineName}`,
          retention: props.logDays,
          encryptionKey: props.key,
          removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        }),
        level: sfn.LogLevel.ALL,
        includeExecutionData: false,
      },
      ...(props.encrypted
        ? { encryptionConfiguration: new sfn.CustomerManagedEncryptionConfiguration(props.key, Duration.minutes(15)) }
        : {}),
    });
    // Not `grantInvoke`: that permits every version too, of which there is none.
    this.machine.addToRolePolicy(
      new iam.PolicyStatement({
        sid: 'CallSteps',
        actions: ['lambda:InvokeFunction'],
        resources: called.map(([, found]) => found.function.functionArn),
      }),
    );
    Validations.of(this.machine.role).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'Delivery of logs and X-Ray have no resources.',
    });
  }
}
