import { CustomResource, Stack } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { InlineFunction } from './inline-function.js';

/** Properties of a {@link PeeringDns}. */
export interface PeeringDnsProps {
  /** The peering. */
  readonly peering: string;
  /** Whose option it is: each side has its own, which can be set in its own Region only. */
  readonly side: 'requester' | 'accepter';
  /** What names begin with. */
  readonly prefix: string;
}

/** Lets names of one network be resolved in the other to private addresses. CloudFormation cannot say it. */
export class PeeringDns extends Construct {
  constructor(scope: Construct, id: string, props: PeeringDnsProps) {
    super(scope, id);
    const arn = Stack.of(this).formatArn({
      service: 'ec2',
      resource: 'vpc-peering-connection',
      resourceName: props.peering,
    });
    const setter = new InlineFunction(this, 'Setter', {
      functionName: `${props.prefix}-peering-dns`,
      description: 'Understudy: sets the DNS option of a peering',
      file: 'peering_dns.py',
      logDays: 90,
      permits: [new iam.PolicyStatement({ sid: 'SetOptions', actions: ['ec2:ModifyVpcPeeringConnectionOptions'], resources: [arn] })],
    });
    new CustomResource(this, 'Option', {
      resourceType: 'Custom::PeeringDns',
      serviceToken: setter.function.functionArn,
      properties: { Peering: props.peering, Side: props.side },
    }).node.addDependency(setter);
  }
}
