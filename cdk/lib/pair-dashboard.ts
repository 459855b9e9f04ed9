import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { Construct } from 'constructs';
import { brokerMetric, flowMetric, type FlowOf, probeMetric, serviceMetric } from './metrics.js';

/** A flow, as its dashboard shows it. */
export interface FlowShown extends FlowOf {
  readonly cluster: string;
  readonly service: string;
  /** Where its workers run, and so where its metrics are. */
  readonly region: string;
}

/** Properties of a {@link PairDashboard}. */
export interface PairDashboardProps {
  /** The dashboard's name. */
  readonly dashboardName: string;
  /** The pair. */
  readonly pair: string;
  /** This Region's cluster, and the other one. */
  readonly here: string;
  readonly other: string;
  /** This Region. */
  readonly region: string;
  /** Both directions. A dashboard may look into another Region; an alarm may not. */
  readonly flows: readonly FlowShown[];
  /** This Region's MSK cluster by name, and how many brokers it has; left out where nobody said. */
  readonly brokers?: { readonly cluster: string; readonly count: number };
  /** The alarms that people are told of. */
  readonly alarms: readonly cloudwatch.IAlarm[];
}

/** One page for a pair, from one Region: first what stands, then what would be lost, then why. */
export class PairDashboard extends Construct {
  constructor(scope: Construct, id: string, props: PairDashboardProps) {
    super(scope, id);
    const dashboard = new cloudwatch.Dashboard(this, 'Dashboard', {
      dashboardName: props.dashboardName,
      defaultInterval: Duration.hours(3),
    });
    dashboard.addWidgets(
      new cloudwatch.TextWidget({
        width: 24,
        height: 2,
        markdown:
          `# ${props.pair}, from ${props.region}\n` +
          `Which cluster is active is in the ledger, and in no metric. Runbooks: docs/alarms.md, docs/recovery.md.`,
      }),
    );
    dashboard.addWidgets(new cloudwatch.AlarmStatusWidget({ width: 24, height: 4, title: 'Alarms of this Region', alarms: [...props.alarms] }));
    dashboard.addWidgets(...props.flows.map((flow) => this.possible(flow)), this.probes(props));
    dashboard.addWidgets(
      this.perFlow('Would be lost now (s)', props, (flow) => [flowMetric(flow, 'RecoveryPointSeconds', 'Maximum')]),
      this.perFlow('Not copied yet (records, per worker)', props, (flow) => [flowMetric(flow, 'LagRecords', 'Maximum')]),
      this.perFlow('Copied a minute (records)', props, (flow) => [flowMetric(flow, 'RecordsCopied', 'Sum')]),
    );
    dashboard.addWidgets(
      this.perFlow('Source last seen, open transaction (s)', props, (flow) => [
        flowMetric(flow, 'SourceSeenSeconds', 'Maximum'),
        flowMetric(flow, 'OpenTransactionSeconds', 'Maximum'),
      ]),
      this.perFlow('Gaps, halted partitions, unknown places', props, (flow) => [
        flowMetric(flow, 'GapsOpen', 'Maximum'),
        flowMetric(flow, 'PartitionsHalted', 'Maximum'),
        flowMetric(flow, 'GroupPlacesUnknown', 'Maximum'),
      ]),
      this.perFlow('Workers', props, (flow) => [
        serviceMetric(flow.cluster, flow.service, 'DesiredTaskCount'),
        serviceMetric(flow.cluster, flow.service, 'RunningTaskCount'),
      ]),
    );
    if (props.brokers !== undefined) {
      dashboard.addWidgets(...this.brokers(props.here, props.brokers));
    }
  }

  private possible(flow: FlowShown): cloudwatch.IWidget {
    return new cloudwatch.SingleValueWidget({
      width: 6,
      height: 4,
      title: `Failover possible: ${flow.flow}`,
      region: flow.region,
      metrics: [flowMetric(flow, 'FailoverPossible', 'Minimum').with({ region: flow.region })],
    });
  }

  private probes(props: PairDashboardProps): cloudwatch.IWidget {
    const of = { pair: props.pair, cluster: props.other };
    const vantages = ['standby', 'active', 'control-plane'];
    return new cloudwatch.GraphWidget({
      width: 12,
      height: 4,
      title: `${props.other}, as probers see it (1: serves)`,
      left: vantages.map((vantage) => probeMetric('ProbeSuccess', { ...of, vantage }).with({ label: vantage })),
      leftYAxis: { min: 0, max: 1 },
    });
  }

  private perFlow(title: string, props: PairDashboardProps, metrics: (flow: FlowShown) => cloudwatch.Metric[]): cloudwatch.IWidget {
    const left = props.flows.flatMap((flow) =>
      metrics(flow).map((metric) => metric.with({ region: flow.region, label: `${flow.flow} ${metric.metricName}` })),
    );
    return new cloudwatch.GraphWidget({ width: 8, height: 6, title, left, leftYAxis: { min: 0 } });
  }

  private brokers(alias: string, { cluster, count }: { cluster: string; count: number }): cloudwatch.IWidget[] {
    const each = (metric: string) =>
      Array.from({ length: count }, (_, index) =>
        brokerMetric(cluster, metric, 'Maximum', index + 1).with({ label: `broker ${index + 1}` }),
      );
    const widget = (title: string, metric: string) =>
      new cloudwatch.GraphWidget({ width: 8, height: 6, title: `${alias}: ${title}`, left: each(metric), leftYAxis: { min: 0 } });
    return [
      widget('disk used (%)', 'KafkaDataLogsDiskUsed'),
      widget('CPU of users (%)', 'CpuUser'),
      widget('partitions that lack replicas', 'UnderReplicatedPartitions'),
    ];
  }
}
