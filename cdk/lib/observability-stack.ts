import { ArnFormat } from 'aws-cdk-lib';
import { Alarm, AlarmBase, type IAlarm } from 'aws-cdk-lib/aws-cloudwatch';
import * as sns from 'aws-cdk-lib/aws-sns';
import type { Construct, IConstruct } from 'constructs';
import { BrokerAlarms } from './broker-alarms.js';
import type { Config, Workers } from './config.js';
import { ControlAlarms } from './control-alarms.js';
import { CredentialAlarms } from './credential-alarms.js';
import { definitions } from './definitions.js';
import { FlowAlarms } from './flow-alarms.js';
import { nameOf, slotsOf } from './flow-file.js';
import { PairDashboard } from './pair-dashboard.js';
import { type FlowOfPair, type PairDocument, readIn, secretsIn, type Side } from './pair.js';
import { RegionStack } from './region-stack.js';
import { WorkerEnds } from './worker-ends.js';

/** Properties of an {@link ObservabilityStack}. */
export interface ObservabilityStackProps {
  /** What is deployed. */
  readonly config: Config;
  /** This Region's side of the pair. */
  readonly side: Side;
  /** The workers. */
  readonly workers: Workers;
}

/** What people of a Region are told, and what they look at then: the flow into it, its brokers, its logins, its control plane. */
export class ObservabilityStack extends RegionStack {
  constructor(scope: Construct, id: string, props: ObservabilityStackProps) {
    const { config, side, workers } = props;
    super(scope, id, { config, region: side.region, description: `alarms and the dashboard beside ${side.alias}` });
    const { names } = this;
    const document = readIn(config.document, side.region);
    const { pair } = document;
    const people = sns.Topic.fromTopicArn(this, 'People', names.peopleArn(this));
    const shared = { prefix: names.prefix, people };
    const keyArn = names.read('key');
    const flow = pair.flows.find((it) => it.target === side.alias) as FlowOfPair;
    const [cluster = '', service = ''] = (flow.service ?? '').split('/');
    const name = nameOf(document, flow);
    new FlowAlarms(this, 'Flow', {
      ...shared,
      pair: pair.name,
      flow: name,
      cluster,
      service,
      slots: slotsOf(document, flow),
      recoveryPointSeconds: workers.recoveryPointSeconds,
    });
    new WorkerEnds(this, 'Ends', { ...shared, flow: name, cluster, service, logDays: config.logDays, keyArn });
    const brokers = brokersOf(config, document, side.alias, names.cluster);
    if (brokers !== undefined) {
      new BrokerAlarms(this, 'Brokers', { ...shared, alias: side.alias, cluster: brokers.cluster, brokers: brokers.count });
    }
    const about = side.other.alias;
    new CredentialAlarms(this, 'Credentials', {
      ...shared,
      pair: pair.name,
      about,
      secrets: secretsIn(document.flows[flow.file] ?? ''),
      logDays: config.logDays,
      keyArn,
    });
    new ControlAlarms(this, 'Control', {
      ...shared,
      pair: pair.name,
      about,
      ledgerTable: names.ledgerTable,
      ledgerHere: config.ledger.witness !== undefined || config.ledger.region === side.region,
      machines: definitions().map((it) => ({ name: it.name, arn: names.machineArn(this, side.region, it.name) })),
    });
    new PairDashboard(this, 'Dashboard', {
      dashboardName: `${names.prefix}-${side.region}`,
      pair: pair.name,
      here: side.alias,
      other: about,
      region: side.region,
      flows: pair.flows.map((it) => shownAs(document, it)),
      ...(brokers === undefined ? {} : { brokers }),
      // The alarm that leads to a recovery is the control plane's, and known by its name.
      alarms: [Alarm.fromAlarmArn(this, 'Unhealthy', this.alarmArn(names.alarm(about))), ...this.alarmsBelow()],
    });
  }

  /** Every alarm of this stack that tells people. */
  private alarmsBelow(): IAlarm[] {
    const tells = (it: IConstruct): it is AlarmBase =>
      it instanceof AlarmBase && ((it as unknown as { alarmActionArns?: string[] }).alarmActionArns ?? []).length > 0;
    return this.node.findAll().filter(tells);
  }

  private alarmArn(name: string): string {
    return this.formatArn({ service: 'cloudwatch', resource: 'alarm', resourceName: name, arnFormat: ArnFormat.COLON_RESOURCE_NAME });
  }
}

function shownAs(document: PairDocument, flow: FlowOfPair) {
  const [cluster = '', service = ''] = (flow.service ?? '').split('/');
  return { pair: document.pair.name, flow: nameOf(document, flow), cluster, service, region: document.pair.clusters[flow.target]?.region ?? '' };
}

/** A Region's cluster by the name that MSK's metrics have, and how many brokers it has. */
function brokersOf(config: Config, document: PairDocument, alias: string, made: string): { cluster: string; count: number } | undefined {
  const { kafka } = config;
  if (kafka === undefined) {
    return undefined;
  }
  if ('create' in kafka) {
    return { cluster: made, count: 3 * kafka.create.brokersPerZone };
  }
  const name = document.pair.clusters[alias]?.msk_arn?.split('/')[1];
  return name === undefined ? undefined : { cluster: name, count: kafka.existing.brokers };
}
