import { ArnFormat } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import type { Config } from './config.js';
import { pointersOf, type Side } from './pair.js';
import { RegionStack } from './region-stack.js';

/** Properties of a {@link ClientsStack}. */
export interface ClientsStackProps {
  /** What is deployed. */
  readonly config: Config;
  /** This Region's side of the pair. */
  readonly side: Side;
}

/**
 * What applications are granted: to read the pointer that says which cluster they use, here and nowhere else. One policy an
 * application, for its owners to attach; who writes the pointer is a recovery.
 */
export class ClientsStack extends RegionStack {
  constructor(scope: Construct, id: string, props: ClientsStackProps) {
    const { config, side } = props;
    super(scope, id, { config, region: side.region, description: `what applications beside ${side.alias} may read` });
    for (const [application, parameters] of pointersOf(config.document.pair)) {
      new iam.ManagedPolicy(this, `Follow-${application}`, {
        // IAM is one for all Regions.
        managedPolicyName: `${this.names.prefix}-follow-${application}-${side.region}`,
        description: `Reading the pointer of ${application} in ${side.region}`,
        statements: [
          new iam.PolicyStatement({
            sid: 'FollowPointer',
            actions: ['ssm:GetParameter'],
            resources: parameters.map((name) =>
              this.formatArn({
                service: 'ssm',
                resource: 'parameter',
                resourceName: name.replace(/^\//, ''),
                arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
              }),
            ),
          }),
        ],
      });
    }
  }
}
