import { Duration, Stack } from 'aws-cdk-lib';
import * as scaling from 'aws-cdk-lib/aws-applicationautoscaling';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as actions from 'aws-cdk-lib/aws-cloudwatch-actions';
import * as iam from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { flowMetric, serviceMetric } from './metrics.js';

/** Properties of {@link FlowScaling}. */
export interface FlowScalingProps {
  /** What names begin with. */
  readonly prefix: string;
  /** The pair. */
  readonly pair: string;
  /** The flow, as its metrics spell it. */
  readonly flow: string;
  /** Its service's cluster. */
  readonly cluster: string;
  /** Its service. */
  readonly service: string;
  /** How many workers it has while it runs. */
  readonly usual: number;
  /** How many it may have. */
  readonly most: number;
  /** How far behind is too far. */
  readonly behindSeconds: number;
}

/** Below this a flow has caught up. */
const CAUGHT_UP_SECONDS = 5;

/**
 * More workers while a flow is behind, and the usual number again when it has caught up.
 *
 * It never starts a flow that rests, nor stops one that runs: it doubles what there is, and twice nothing is nothing; it
 * takes away one at a time, and only while there are more than usual. What decides is the age of what would be lost: a
 * source that cannot be seen makes none, and more workers would not help.
 */
export class FlowScaling extends Construct {
  constructor(scope: Construct, id: string, props: FlowScalingProps) {
    super(scope, id);
    const { account, partition } = Stack.of(this);
    const service = 'ecs.application-autoscaling.amazonaws.com';
    const scalingTarget = new scaling.ScalableTarget(this, 'Workers', {
      serviceNamespace: scaling.ServiceNamespace.ECS,
      scalableDimension: 'ecs:service:DesiredCount',
      resourceId: `service/${props.cluster}/${props.service}`,
      minCapacity: 0,
      maxCapacity: props.most,
      role: iam.Role.fromRoleArn(
        this,
        'Role',
        `arn:${partition}:iam::${account}:role/aws-service-role/${service}/AWSServiceRoleForApplicationAutoScaling_ECSService`,
      ),
    });
    const behind = flowMetric(props, 'RecoveryPointSeconds', 'Maximum');
    const running = serviceMetric(props.cluster, props.service, 'RunningTaskCount');
    const more = new scaling.StepScalingAction(this, 'More', {
      scalingTarget,
      adjustmentType: scaling.AdjustmentType.PERCENT_CHANGE_IN_CAPACITY,
      cooldown: Duration.minutes(5),
      metricAggregationType: scaling.MetricAggregationType.MAXIMUM,
    });
    more.addAdjustment({ adjustment: 100, lowerBound: 0 });
    this.when('behind', more, {
      what: `${props.flow} is behind; it gets more workers.`,
      prefix: props.prefix,
      metric: behind,
      threshold: props.behindSeconds,
      minutes: 3,
    });
    const fewer = new scaling.StepScalingAction(this, 'Fewer', {
      scalingTarget,
      adjustmentType: scaling.AdjustmentType.CHANGE_IN_CAPACITY,
      cooldown: Duration.minutes(10),
      metricAggregationType: scaling.MetricAggregationType.MAXIMUM,
    });
    fewer.addAdjustment({ adjustment: -1, lowerBound: 0 });
    this.when('caught-up', fewer, {
      what: `${props.flow} has caught up with more workers than usual; it gives one back.`,
      prefix: props.prefix,
      metric: new cloudwatch.MathExpression({
        expression: `IF(running > ${props.usual} AND behind < ${CAUGHT_UP_SECONDS}, 1, 0)`,
        usingMetrics: { running, behind },
        label: 'More workers than are needed',
        period: Duration.minutes(1),
      }),
      threshold: 1,
      minutes: 15,
    });
  }

  private when(
    name: string,
    action: scaling.StepScalingAction,
    it: { what: string; prefix: string; metric: cloudwatch.IMetric; threshold: number; minutes: number },
  ): void {
    new cloudwatch.Alarm(this, name, {
      alarmName: `${it.prefix}-${name}`,
      alarmDescription: `${it.what} Nobody is told. Runbook: docs/alarms.md#scaling`,
      metric: it.metric,
      comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      threshold: it.threshold,
      evaluationPeriods: it.minutes,
      datapointsToAlarm: it.minutes,
      // A flow that rests says nothing, and gets nothing.
      treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
    }).addAlarmAction(new actions.ApplicationScalingAction(action));
  }
}
