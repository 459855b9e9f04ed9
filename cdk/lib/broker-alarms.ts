import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { Alarms, type When } from './alarm.js';
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

/** CloudWatch looks at no more metrics in one alarm. */
const METRICS_OF_AN_ALARM = 10;

/** A metric that is added to others of the same broker, by a name of its own. */
type Summand = readonly [string, cloudwatch.Metric];

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
    /** One alarm for so many brokers as one can look at. */
    const tellOfWorst = (told: Omit<When, 'metric'>, perBroker: (broker: number) => Summand[]) => {
      for (const [index, brokers] of chunks(each, Math.floor(METRICS_OF_AN_ALARM / perBroker(1).length)).entries()) {
        const named = brokers.flatMap((broker) => perBroker(broker).map(([name, metric]) => [`${name}${broker}`, metric] as const));
        const sums = brokers.map((broker) => perBroker(broker).map(([name]) => `${name}${broker}`).join(' + '));
        alarms.tell({
          ...told,
          name: index === 0 ? told.name : `${told.name}-${index + 1}`,
          metric: new cloudwatch.MathExpression({
            expression: `MAX([${sums.join(', ')}])`,
            usingMetrics: Object.fromEntries(named),
            label: `The worst of brokers ${brokers[0]} to ${brokers.at(-1)}`,
            period: Duration.minutes(1),
          }),
        });
      }
    };
    const one = (metric: string) => (broker: number): Summand[] => [['b', brokerMetric(cluster, metric, 'Maximum', broker)]];
    tellOfWorst(
      {
        name: 'disk',
        runbook: 'disk',
        what: `A broker of ${alias} has little room left; a full one takes no copies.`,
        above: 85,
        for: 5,
        silence: 'nothing',
      },
      one('KafkaDataLogsDiskUsed'),
    );
    tellOfWorst(
      {
        name: 'cpu',
        runbook: 'cpu',
        what: `A broker of ${alias} has been busier than MSK advises for 15 minutes; it would not bear the other one's applications.`,
        above: 60,
        for: 12,
        of: 15,
        silence: 'nothing',
      },
      (broker) => [
        ['u', brokerMetric(cluster, 'CpuUser', 'Average', broker)],
        ['s', brokerMetric(cluster, 'CpuSystem', 'Average', broker)],
      ],
    );
    tellOfWorst(
      {
        name: 'under-replicated',
        runbook: 'under-replicated',
        what: `Partitions of ${alias} have lacked replicas for 15 minutes.`,
        above: 0,
        for: 15,
        silence: 'nothing',
      },
      one('UnderReplicatedPartitions'),
    );
    tellOfWorst(
      {
        name: 'under-min-isr',
        runbook: 'under-min-isr',
        what: `Partitions of ${alias} take no records: fewer replicas are in sync than must be.`,
        above: 0,
        for: 2,
        silence: 'nothing',
      },
      one('UnderMinIsrPartitionCount'),
    );
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

function chunks<T>(all: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, index) => all.slice(index * size, (index + 1) * size));
}
