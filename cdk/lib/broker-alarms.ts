import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { Alarms } from './alarm.js';
import { brokerMetric } from './metrics.js';

/** Properties of {@link BrokerAlarms}. */
export interface BrokerAlarmsProps {
  /** What names begin with. */
  readonly prefix: string;
  /** The cluster's alias. */
  readonly alias: string;
  /** Its name in MSK. */
  readonly cluster: string;
  /** How many brokers it has; MSK numbers them from 1. */
  readonly brokers: number;
  /** Where people are told. */
  readonly people: sns.ITopic;
}

/**
 * This Region's MSK cluster, as MSK sees it. None of these leads to a recovery: that stands on what probers see. Brokers of
 * the Standard kind; Express ones have neither disks nor replicas to watch.
 */
export class BrokerAlarms extends Construct {
  constructor(scope: Construct, id: string, props: BrokerAlarmsProps) {
    super(scope, id);
    const { alias, cluster } = props;
    const alarms = new Alarms(this, `${props.prefix}-${alias}`, props.people);
    const each = Array.from({ length: props.brokers }, (_, index) => index + 1);
    const worst = (metric: string, statistic: string) => {
      const named = each.map((broker) => [`b${broker}`, brokerMetric(cluster, metric, statistic, broker)] as const);
      return new cloudwatch.MathExpression({
        expression: `MAX([${named.map(([name]) => name).join(', ')}])`,
        usingMetrics: Object.fromEntries(named),
        label: `${metric}, the worst broker`,
        period: Duration.minutes(1),
      });
    };
    alarms.tell({
      name: 'disk',
      runbook: 'disk',
      what: `A broker of ${alias} has little room left; a full one takes no copies.`,
      metric: worst('KafkaDataLogsDiskUsed', 'Maximum'),
      above: 85,
      for: 5,
      silence: 'nothing',
    });
    const halves = each.flatMap((broker) => [
      [`u${broker}`, brokerMetric(cluster, 'CpuUser', 'Average', broker)] as const,
      [`s${broker}`, brokerMetric(cluster, 'CpuSystem', 'Average', broker)] as const,
    ]);
    alarms.tell({
      name: 'cpu',
      runbook: 'cpu',
      what: `A broker of ${alias} has been busier than MSK advises for 15 minutes; it would not bear the other one's applications.`,
      metric: new cloudwatch.MathExpression({
        expression: `MAX([${each.map((broker) => `u${broker} + s${broker}`).join(', ')}])`,
        usingMetrics: Object.fromEntries(halves),
        label: 'CPU of the busiest broker',
        period: Duration.minutes(1),
      }),
      above: 60,
      for: 12,
      of: 15,
      silence: 'nothing',
    });
    alarms.tell({
      name: 'under-replicated',
      runbook: 'under-replicated',
      what: `Partitions of ${alias} have lacked replicas for 15 minutes.`,
      metric: worst('UnderReplicatedPartitions', 'Maximum'),
      above: 0,
      for: 15,
      silence: 'nothing',
    });
    alarms.tell({
      name: 'under-min-isr',
      runbook: 'under-min-isr',
      what: `Partitions of ${alias} take no records: fewer replicas are in sync than must be.`,
      metric: worst('UnderMinIsrPartitionCount', 'Maximum'),
      above: 0,
      for: 2,
      silence: 'nothing',
    });
    alarms.tell({
      name: 'offline-partitions',
      runbook: 'offline-partitions',
      what: `Partitions of ${alias} have no leader.`,
      metric: brokerMetric(cluster, 'OfflinePartitionsCount', 'Maximum'),
      above: 0,
      for: 2,
      silence: 'nothing',
    });
    alarms.tell({
      name: 'controller',
      runbook: 'controller',
      what: `${alias} has no controller, or MSK says nothing of it.`,
      // Only the active one tells of itself; the others say 0.
      metric: brokerMetric(cluster, 'ActiveControllerCount', 'Maximum'),
      below: 1,
      for: 5,
      silence: 'bad',
    });
  }
}
