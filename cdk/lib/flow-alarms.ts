import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { Alarms } from './alarm.js';
import { flowMetric, serviceMetric } from './metrics.js';

/** Properties of {@link FlowAlarms}. */
export interface FlowAlarmsProps {
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
  /** How many slots it has. */
  readonly slots: number;
  /** The recovery point beyond which people are told. */
  readonly recoveryPointSeconds: number;
  /** Where people are told. */
  readonly people: sns.ITopic;
}

const { ALARM } = cloudwatch.AlarmState;

/**
 * The flow into this Region. It may rest, and then says nothing: what takes silence for bad stands on a second alarm, which
 * says whether anybody wants it to run. Where ECS itself does not tell, it is taken to be wanted.
 */
export class FlowAlarms extends Construct {
  constructor(scope: Construct, id: string, props: FlowAlarmsProps) {
    super(scope, id);
    const { flow } = props;
    const alarms = new Alarms(this, `${props.prefix}-${flow}`, props.people);
    const worst = (name: string) => flowMetric(props, name, 'Maximum');
    const rests = alarms.watch({
      name: 'rests',
      runbook: 'workers-silent',
      what: `Nobody wants ${flow} to run: its service has no workers. Nobody is told.`,
      metric: serviceMetric(props.cluster, props.service, 'DesiredTaskCount'),
      below: 1,
      for: 1,
      silence: 'nothing',
    });
    const wanted = (alarm: cloudwatch.IAlarm) =>
      cloudwatch.AlarmRule.allOf(
        cloudwatch.AlarmRule.fromAlarm(alarm, ALARM),
        cloudwatch.AlarmRule.not(cloudwatch.AlarmRule.fromAlarm(rests, ALARM)),
      );
    this.silence(alarms, props, wanted);

    alarms.tell({
      name: 'partitions-halted',
      runbook: 'partitions-halted',
      what: `Partitions of ${flow} stand still until somebody looks.`,
      metric: worst('PartitionsHalted'),
      above: 0,
      for: 2,
      silence: 'nothing',
    });
    alarms.tell({
      name: 'gaps',
      runbook: 'gaps',
      what: `${flow} met records that it cannot copy, and nobody has decided about them.`,
      metric: worst('GapsOpen'),
      above: 0,
      for: 1,
      silence: 'nothing',
    });
    alarms.tell({
      name: 'open-transaction',
      runbook: 'open-transaction',
      what: `A transaction on the source has held copies of ${flow} back for five minutes, and lag does not show it.`,
      metric: worst('OpenTransactionSeconds'),
      above: 300,
      for: 2,
      silence: 'nothing',
    });
    alarms.tell({
      name: 'places-unknown',
      runbook: 'places-unknown',
      what: `Consumer groups would not know where to go on after a failover over ${flow}.`,
      metric: worst('GroupPlacesUnknown'),
      above: 0,
      for: 15,
      silence: 'nothing',
    });
    alarms.tell({
      name: 'not-ready',
      runbook: 'not-ready',
      what: `A failover over ${flow} would meet an obstacle.`,
      metric: flowMetric(props, 'FailoverPossible', 'Minimum'),
      below: 1,
      for: 5,
      silence: 'nothing',
    });
  }

  /** What is bad when it is silent. */
  private silence(alarms: Alarms, props: FlowAlarmsProps, wanted: (alarm: cloudwatch.IAlarm) => cloudwatch.IAlarmRule): void {
    const { flow } = props;
    const silent = alarms.watch({
      name: 'workers-heard',
      runbook: 'workers-silent',
      what: `No worker of ${flow} said anything. Nobody is told while the flow rests.`,
      metric: flowMetric(props, 'SlotsHeld', 'SampleCount'),
      below: 1,
      for: 3,
      silence: 'bad',
    });
    alarms.stand(
      { name: 'workers-silent', runbook: 'workers-silent', what: `${flow} is to run, and none of its workers says anything.` },
      wanted(silent),
    );
    const old = alarms.watch({
      name: 'recovery-point-seen',
      runbook: 'recovery-point',
      what: `More than ${props.recoveryPointSeconds} s would be lost, or nobody knows. Nobody is told while the flow rests.`,
      metric: flowMetric(props, 'RecoveryPointSeconds', 'Maximum'),
      above: props.recoveryPointSeconds,
      for: 3,
      of: 5,
      silence: 'bad',
    });
    alarms.stand(
      {
        name: 'recovery-point',
        runbook: 'recovery-point',
        what: `A failover over ${flow} would lose more than ${props.recoveryPointSeconds} s, or nobody knows how much.`,
      },
      wanted(old),
    );
    const unseen = alarms.watch({
      name: 'source-seen',
      runbook: 'source-unseen',
      what: `The source of ${flow} has not shown its ends for a minute. Nobody is told while the flow rests.`,
      metric: flowMetric(props, 'SourceSeenSeconds', 'Maximum'),
      above: 60,
      for: 3,
      silence: 'bad',
    });
    alarms.stand(
      { name: 'source-unseen', runbook: 'source-unseen', what: `The workers of ${flow} do not see its source.` },
      wanted(unseen),
    );
    // Each worker speaks once a minute, at a second of its own: over five minutes the sum is at most one minute short.
    const held = flowMetric(props, 'SlotsHeld', 'Sum', Duration.minutes(5));
    const unheld = alarms.watch({
      name: 'slots-held',
      runbook: 'slots-unheld',
      what: `Slots of ${flow} are held by no worker. Nobody is told while the flow rests.`,
      metric: new cloudwatch.MathExpression({
        expression: 'held / 5',
        usingMetrics: { held },
        label: 'Slots held, by all workers',
        period: Duration.minutes(5),
      }),
      // Between four fifths, which is all of them when every worker is late, and three quarters: one of four is missed.
      below: Math.round(props.slots * 78) / 100,
      for: 2,
      silence: 'bad',
    });
    alarms.stand(
      { name: 'slots-unheld', runbook: 'slots-unheld', what: `Parts of ${flow} are copied by nobody.` },
      wanted(unheld),
    );
  }
}
