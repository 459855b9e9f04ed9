import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';

/** Our own metrics' namespace: what workers write to their log, what probers publish, and how old secrets are. */
export const NAMESPACE = 'Understudy';

/** A flow of a pair: another pair of the account may have one of the same name. */
export interface FlowOf {
  readonly pair: string;
  /** The flow, as its metrics spell it. */
  readonly flow: string;
}

/** A metric of a flow's workers (`replicator/service/src/emf.rs`); each worker writes its own every minute. */
export function flowMetric({ pair, flow }: FlowOf, metricName: string, statistic: string, period = Duration.minutes(1)): cloudwatch.Metric {
  return new cloudwatch.Metric({ namespace: NAMESPACE, metricName, dimensionsMap: { pair, flow }, statistic, period });
}

/** A metric of an ECS service (Container Insights). */
export function serviceMetric(cluster: string, service: string, metricName: string): cloudwatch.Metric {
  return new cloudwatch.Metric({
    namespace: 'ECS/ContainerInsights',
    metricName,
    dimensionsMap: { ClusterName: cluster, ServiceName: service },
    statistic: 'Maximum',
    period: Duration.minutes(1),
  });
}

/** A metric of a prober (`functions/aws/src/signals.rs`). */
export function probeMetric(metricName: string, of: { pair: string; cluster: string; vantage: string; layer?: string }): cloudwatch.Metric {
  return new cloudwatch.Metric({
    namespace: NAMESPACE,
    metricName,
    dimensionsMap: {
      Pair: of.pair,
      Cluster: of.cluster,
      Vantage: of.vantage,
      ...(of.layer === undefined ? {} : { Layer: of.layer }),
    },
    statistic: 'Minimum',
    period: Duration.minutes(1),
  });
}

/** A metric of a pair's recoveries (`functions/aws/src/signals.rs`), which the prober of each Region tells in it. */
export function recoveryMetric(metricName: string, pair: string): cloudwatch.Metric {
  return new cloudwatch.Metric({
    namespace: NAMESPACE,
    metricName,
    dimensionsMap: { Pair: pair },
    statistic: 'Maximum',
    period: Duration.minutes(1),
  });
}

/** A metric of an MSK cluster, or of one of its brokers. */
export function brokerMetric(cluster: string, metricName: string, statistic: string, broker?: number): cloudwatch.Metric {
  return new cloudwatch.Metric({
    namespace: 'AWS/Kafka',
    metricName,
    dimensionsMap: { 'Cluster Name': cluster, ...(broker === undefined ? {} : { 'Broker ID': String(broker) }) },
    statistic,
    period: Duration.minutes(1),
  });
}
