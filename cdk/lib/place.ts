import { Annotations } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import type { Construct } from 'constructs';
import { type Config, isNew } from './config.js';
import type { Names, Role } from './names.js';

/** Where something of a Region runs that connects to clusters. */
export interface Place {
  readonly vpc: string;
  readonly subnets: readonly string[];
  readonly securityGroups: readonly string[];
}

/** The place for a role; none where clusters are reached without a VPC. */
export function placeOf(config: Config, names: Names, region: string, role: Role): Place | undefined {
  const network = config.networks[region];
  if (network === undefined) {
    return undefined;
  }
  if (!isNew(network)) {
    return network;
  }
  return {
    vpc: names.read('vpc'),
    subnets: network.zones.map((_, index) => names.read(`subnet-${index + 1}`)),
    securityGroups: [names.read(`group-${role}`)],
  };
}

/** A place's VPC, subnets and security groups, as constructs take them; nothing is looked up. */
export function constructsOf(scope: Construct, id: string, place: Place) {
  const vpc = ec2.Vpc.fromVpcAttributes(scope, `${id}Vpc`, {
    vpcId: place.vpc,
    // Of no consequence but their number: nothing here asks which subnet is in which zone.
    availabilityZones: place.subnets.map((_, index) => `zone-${index + 1}`),
    privateSubnetIds: [...place.subnets],
  });
  Annotations.of(vpc).acknowledgeWarning('@aws-cdk/aws-ec2:noSubnetRouteTableId', 'Nothing here asks for a subnet’s routes.');
  return {
    vpc,
    vpcSubnets: { subnets: vpc.privateSubnets },
    securityGroups: place.securityGroups.map((group, index) =>
      ec2.SecurityGroup.fromSecurityGroupId(scope, `${id}Group${index + 1}`, group, { mutable: false }),
    ),
  };
}
