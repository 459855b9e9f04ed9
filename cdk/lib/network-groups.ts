import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { Construct } from 'constructs';
import type { Role } from './names.js';

/** Properties of {@link NetworkGroups}. */
export interface NetworkGroupsProps {
  /** The network. */
  readonly vpc: ec2.Vpc;
  /** What names begin with. */
  readonly prefix: string;
  /** The addresses of the other Region's network: security groups cannot name each other over Regions. */
  readonly other: string;
  /** The port on which brokers are logged in to. */
  readonly kafkaPort: number;
}

const CLIENTS = ['functions', 'workers', 'operator'] as const;

/**
 * Who may talk to whom: clients of ours to the brokers of both Regions and to AWS, brokers to nobody. Nothing is let in
 * but by brokers, and those let in both networks and no other.
 */
export class NetworkGroups extends Construct {
  private readonly groups: Readonly<Record<Role, ec2.SecurityGroup>>;

  constructor(scope: Construct, id: string, props: NetworkGroupsProps) {
    super(scope, id);
    const { vpc, kafkaPort } = props;
    const group = (role: Role, description: string) =>
      new ec2.SecurityGroup(this, role, {
        vpc,
        securityGroupName: `${props.prefix}-${role}`,
        description,
        allowAllOutbound: false,
      });
    this.groups = {
      functions: group('functions', 'Recovery functions that connect to clusters'),
      workers: group('workers', 'Workers of flows'),
      operator: group('operator', 'The task that operators enter'),
      brokers: group('brokers', 'MSK brokers'),
    };
    const brokers = this.groups.brokers;
    for (const role of CLIENTS) {
      const client = this.groups[role];
      client.addEgressRule(brokers, ec2.Port.tcp(kafkaPort), 'Brokers of this Region');
      client.addEgressRule(ec2.Peer.ipv4(props.other), ec2.Port.tcp(kafkaPort), 'Brokers of the other Region');
      client.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(443), 'AWS');
      brokers.addIngressRule(client, ec2.Port.tcp(kafkaPort), `Understudy: ${role}`);
    }
    brokers.addIngressRule(ec2.Peer.ipv4(props.other), ec2.Port.tcp(kafkaPort), 'The other Region: its workers and probers');
  }

  /** The group of a role. */
  of(role: Role): ec2.SecurityGroup {
    return this.groups[role];
  }
}
