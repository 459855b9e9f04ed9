import { RemovalPolicy, Validations } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as logs from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import { type Config, isNew, type NewNetwork } from './config.js';
import { EncryptionKey } from './encryption-key.js';
import { NetworkEndpoints } from './network-endpoints.js';
import { NetworkGroups } from './network-groups.js';
import type { Side } from './pair.js';
import { RegionStack } from './region-stack.js';

/** Properties of a {@link NetworkStack}. */
export interface NetworkStackProps {
  /** What is deployed. */
  readonly config: Config;
  /** This Region's side of the pair. */
  readonly side: Side;
}

/**
 * A Region's network: three zones, each with a private subnet in which everything runs, and a public one in which nothing
 * does but NAT gateways. The Region's own AWS is reached by endpoints, so that a recovery needs no NAT; the other Region's
 * AWS through NAT, so that what a prober publishes there does not share the peering's fate.
 */
export class NetworkStack extends RegionStack {
  readonly vpc: ec2.Vpc;
  private readonly zones: readonly string[];

  constructor(scope: Construct, id: string, props: NetworkStackProps) {
    const { config, side } = props;
    super(scope, id, { config, region: side.region, description: `the network of ${side.alias}` });
    const here = created(config, side.region);
    const there = created(config, side.other.region);
    this.zones = here.zones;
    this.vpc = new ec2.Vpc(this, 'Vpc', {
      vpcName: this.names.prefix,
      ipAddresses: ec2.IpAddresses.cidr(here.cidr),
      availabilityZones: [...here.zones],
      natGateways: here.natGateways,
      restrictDefaultSecurityGroup: false,
      subnetConfiguration: [
        { name: 'private', subnetType: ec2.SubnetType.PRIVATE_WITH_EGRESS, cidrMask: 22 },
        { name: 'nat', subnetType: ec2.SubnetType.PUBLIC, cidrMask: 28, mapPublicIpOnLaunch: false },
      ],
    });
    Validations.of(this.vpc).acknowledge({
      id: 'CloudFormation-Validate::W3010',
      reason: 'Zones are chosen: brokers, workers and endpoints must be in the same three, which no list by number promises.',
    });
    this.recordFlows(config.logDays);
    const groups = new NetworkGroups(this, 'Groups', {
      vpc: this.vpc,
      prefix: this.names.prefix,
      other: there.cidr,
      kafkaPort: config.kafkaIam ? 9098 : 9096,
    });
    new NetworkEndpoints(this, 'Endpoints', { vpc: this.vpc, cidr: here.cidr, prefix: this.names.prefix });
    this.share('vpc', this.vpc.vpcId);
    this.vpc.privateSubnets.forEach((subnet, index) => this.share(`subnet-${index + 1}`, subnet.subnetId));
    for (const role of ['functions', 'workers', 'operator', 'brokers'] as const) {
      this.share(`group-${role}`, groups.of(role).securityGroupId);
    }
  }

  /** As the configuration names them, so that nothing is looked up. */
  override get availabilityZones(): string[] {
    return [...this.zones];
  }

  /** Who talked to whom: what a connection that did not come about looks like from the network. */
  private recordFlows(logDays: number): void {
    const { key } = new EncryptionKey(this, 'Key', { name: this.names.networkKey });
    const log = new logs.LogGroup(this, 'Traffic', {
      logGroupName: this.names.log('traffic'),
      retention: logDays,
      encryptionKey: key,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    const role = new iam.Role(this, 'TrafficRole', {
      description: 'Writes the flow log of the network',
      assumedBy: new iam.ServicePrincipal('vpc-flow-logs.amazonaws.com', {
        conditions: { StringEquals: { 'aws:SourceAccount': this.account } },
      }),
    });
    const flowLog = new ec2.FlowLog(this, 'FlowLog', {
      resourceType: ec2.FlowLogResourceType.fromVpc(this.vpc),
      trafficType: ec2.FlowLogTrafficType.REJECT,
      destination: ec2.FlowLogDestination.toCloudWatchLogs(log, role),
    });
    flowLog.node.addDependency(role);
    Validations.of(role).acknowledge({
      id: `AwsSolutions-IAM5[Resource::<${this.getLogicalId(log.node.defaultChild as never)}.Arn>:*]`,
      reason: 'The streams of this one log group.',
    });
  }
}

function created(config: Config, region: string): NewNetwork {
  const network = config.networks[region];
  if (network === undefined || !isNew(network)) {
    throw new Error(`the network of ${region} is not made here`);
  }
  return network;
}
