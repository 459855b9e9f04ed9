import * as ec2 from 'aws-cdk-lib/aws-ec2';
import type { Construct } from 'constructs';
import { type Config, isNew } from './config.js';
import type { NetworkStack } from './network-stack.js';
import { PeeringDns } from './peering-dns.js';
import { RegionStack } from './region-stack.js';

/** Properties of a {@link MeshStack}. */
export interface MeshStackProps {
  /** What is deployed. */
  readonly config: Config;
  /** The network that asks for the peering. */
  readonly requester: NetworkStack;
  /** The network that takes it. */
  readonly accepter: NetworkStack;
}

/**
 * What exists once between the two Regions: the peering, asked for from the ledger's Region and accepted by
 * CloudFormation itself, since both networks are of one account. With it the requester's routes and its DNS option; the
 * accepter's are {@link MeshAccepterStack}, in its own Region. These two stacks alone refer to another Region, and only
 * while they are deployed.
 */
export class MeshStack extends RegionStack {
  readonly peering: ec2.CfnVPCPeeringConnection;

  constructor(scope: Construct, id: string, props: MeshStackProps) {
    const { config, requester, accepter } = props;
    super(scope, id, { config, region: requester.region, description: 'the peering of both networks' });
    this.peering = new ec2.CfnVPCPeeringConnection(this, 'Peering', {
      vpcId: requester.vpc.vpcId,
      peerVpcId: accepter.vpc.vpcId,
      peerRegion: accepter.region,
      tags: [{ key: 'Name', value: this.names.prefix }],
    });
    const peering = this.peering.ref;
    routeTo(this, peering, requester, addressesOf(config, accepter.region));
    new PeeringDns(this, 'Dns', { peering, side: 'requester', prefix: this.names.prefix });
  }
}

/** Properties of a {@link MeshAccepterStack}. */
export interface MeshAccepterStackProps {
  /** What is deployed. */
  readonly config: Config;
  /** The peering. */
  readonly mesh: MeshStack;
  /** The network that asked. */
  readonly requester: NetworkStack;
  /** This Region's network. */
  readonly accepter: NetworkStack;
}

/** The accepter's half: a side's routes and its DNS option can only be set in its own Region. */
export class MeshAccepterStack extends RegionStack {
  constructor(scope: Construct, id: string, props: MeshAccepterStackProps) {
    const { config, mesh, requester, accepter } = props;
    super(scope, id, { config, region: accepter.region, description: 'the peering, on the side that accepted it' });
    const peering = mesh.peering.ref;
    routeTo(this, peering, accepter, addressesOf(config, requester.region));
    new PeeringDns(this, 'Dns', { peering, side: 'accepter', prefix: this.names.prefix });
  }
}

function routeTo(stack: RegionStack, vpcPeeringConnectionId: string, from: NetworkStack, destinationCidrBlock: string): void {
  from.vpc.privateSubnets.forEach((subnet, index) => {
    new ec2.CfnRoute(stack, `Route${index + 1}`, {
      routeTableId: subnet.routeTable.routeTableId,
      destinationCidrBlock,
      vpcPeeringConnectionId,
    });
  });
}

function addressesOf(config: Config, region: string): string {
  const network = config.networks[region];
  if (network === undefined || !isNew(network)) {
    throw new Error(`the network of ${region} is not made here`);
  }
  return network.cidr;
}
