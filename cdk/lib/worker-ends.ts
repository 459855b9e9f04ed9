import { Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as events from 'aws-cdk-lib/aws-events';
import * as logs from 'aws-cdk-lib/aws-logs';
import type * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { Alarms } from './alarm.js';

/** Properties of {@link WorkerEnds}. */
export interface WorkerEndsProps {
  /** What names begin with. */
  readonly prefix: string;
  /** The flow. */
  readonly flow: string;
  /** Its cluster's name. */
  readonly cluster: string;
  /** Its service. */
  readonly service: string;
  /** How long the log is kept, in days. */
  readonly logDays: number;
  /** The ARN of the key that the log is encrypted under. */
  readonly keyArn: string;
  /** Where people are told. */
  readonly people: sns.ITopic;
}

/** So many within a quarter of an hour are no accident. */
const MANY = 4;

/** Workers that ended by themselves: each is logged with ECS's reason, and many are an alarm. */
export class WorkerEnds extends Construct {
  constructor(scope: Construct, id: string, props: WorkerEndsProps) {
    super(scope, id);
    const stack = Stack.of(this);
    const ruleName = `${props.prefix}-${props.flow}-ends`;
    const log = new logs.LogGroup(this, 'Log', {
      // EventBridge writes to no other names.
      logGroupName: `/aws/events/${ruleName}`,
      retention: props.logDays,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    (log.node.defaultChild as logs.CfnLogGroup).kmsKeyId = props.keyArn;
    const rule = new events.CfnRule(this, 'Rule', {
      name: ruleName,
      description: 'Workers that ended without being told to',
      eventPattern: {
        source: ['aws.ecs'],
        'detail-type': ['ECS Task State Change'],
        detail: {
          clusterArn: [stack.formatArn({ service: 'ecs', resource: 'cluster', resourceName: props.cluster })],
          group: [`service:${props.service}`],
          lastStatus: ['STOPPED'],
          stopCode: ['EssentialContainerExited', 'TaskFailedToStart', 'TerminationNotice'],
        },
      },
      targets: [{ id: 'Log', arn: stack.formatArn({ service: 'logs', resource: `log-group:${log.logGroupName}` }) }],
    });
    new logs.CfnResourcePolicy(this, 'MayWrite', {
      policyName: ruleName,
      policyDocument: stack.toJsonString({
        Version: '2012-10-17',
        Statement: [
          {
            Effect: 'Allow',
            Principal: { Service: ['events.amazonaws.com', 'delivery.logs.amazonaws.com'] },
            Action: ['logs:CreateLogStream', 'logs:PutLogEvents'],
            Resource: log.logGroupArn,
            Condition: { ArnEquals: { 'aws:SourceArn': rule.attrArn } },
          },
        ],
      }),
    });
    new Alarms(this, `${props.prefix}-${props.flow}`, props.people).tell({
      name: 'worker-churn',
      runbook: 'worker-churn',
      what: `Workers of ${props.flow} end again and again.`,
      metric: new cloudwatch.Metric({
        namespace: 'AWS/Events',
        metricName: 'Invocations',
        dimensionsMap: { RuleName: ruleName },
        statistic: 'Sum',
        period: Duration.minutes(15),
      }),
      atLeast: MANY,
      for: 1,
      silence: 'nothing',
    });
  }
}
