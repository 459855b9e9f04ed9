import { Stack } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { Construct } from 'constructs';

/** Properties of {@link NetworkEndpoints}. */
export interface NetworkEndpointsProps {
  /** The network. */
  readonly vpc: ec2.Vpc;
  /** Its addresses. */
  readonly cidr: string;
  /** What names begin with. */
  readonly prefix: string;
}

/** What functions in the network, workers and operators call; `test/network.test.ts` holds it to what their roles permit. */
export const ENDPOINTS: readonly string[] = [
  'ecr.api',
  'ecr.dkr',
  'ecs',
  'kafka',
  'kms',
  'lambda',
  'logs',
  'monitoring',
  'secretsmanager',
  'sns',
  'ssm',
  'ssmmessages',
  'states',
  'sts',
  'xray',
];

/** The Region's own AWS, reached from within: a recovery needs neither a NAT gateway nor the internet. */
export class NetworkEndpoints extends Construct {
  constructor(scope: Construct, id: string, props: NetworkEndpointsProps) {
    super(scope, id);
    const { vpc } = props;
    const group = new ec2.SecurityGroup(this, 'Group', {
      vpc,
      securityGroupName: `${props.prefix}-endpoints`,
      description: 'Endpoints of AWS',
      allowAllOutbound: false,
    });
    group.addIngressRule(ec2.Peer.ipv4(props.cidr), ec2.Port.tcp(443), 'This network');
    for (const service of ENDPOINTS) {
      vpc.addInterfaceEndpoint(service, {
        service: new ec2.InterfaceVpcEndpointService(`com.amazonaws.${Stack.of(this).region}.${service}`, 443),
        privateDnsEnabled: true,
        open: false,
        securityGroups: [group],
        subnets: { subnets: vpc.privateSubnets },
      });
    }
    for (const [name, service] of [
      ['s3', ec2.GatewayVpcEndpointAwsService.S3],
      ['dynamodb', ec2.GatewayVpcEndpointAwsService.DYNAMODB],
    ] as const) {
      vpc.addGatewayEndpoint(name, { service, subnets: [{ subnets: vpc.privateSubnets }] });
    }
  }
}
