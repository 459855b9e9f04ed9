import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';

/** Properties of an {@link InlineFunction}. */
export interface InlineFunctionProps {
  /** The function's name. */
  readonly functionName: string;
  /** What it does, in a line. */
  readonly description: string;
  /** Its file in `inline/`, of 4 KiB at most. */
  readonly file: string;
  /** Its environment. */
  readonly environment?: Readonly<Record<string, string>>;
  /** What it may do. */
  readonly permits: readonly iam.PolicyStatement[];
  /** How long its log is kept, in days. */
  readonly logDays: number;
  /** The ARN of the key that its log is encrypted under; AWS's own unless given. */
  readonly keyArn?: string;
}

/** Where such functions are. */
const INLINE = join(import.meta.dirname, '..', '..', 'inline');

/** A function of a few lines that the deployment needs and a recovery does not. */
export class InlineFunction extends Construct {
  readonly function: lambda.Function;

  constructor(scope: Construct, id: string, props: InlineFunctionProps) {
    super(scope, id);
    const log = new logs.LogGroup(this, 'Log', {
      logGroupName: `/aws/lambda/${props.functionName}`,
      retention: props.logDays,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    if (props.keyArn !== undefined) {
      (log.node.defaultChild as logs.CfnLogGroup).kmsKeyId = props.keyArn;
    }
    const role = new iam.Role(this, 'Role', {
      description: props.description,
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
    });
    props.permits.forEach((statement) => role.addToPolicy(statement));
    log.grantWrite(role);
    this.function = new lambda.Function(this, 'Function', {
      functionName: props.functionName,
      description: props.description,
      runtime: lambda.Runtime.PYTHON_3_14,
      handler: 'index.handler',
      code: lambda.Code.fromInline(readFileSync(join(INLINE, props.file), 'utf8')),
      timeout: Duration.minutes(1),
      role,
      logGroup: log,
      environment: { ...props.environment },
    });
  }
}
