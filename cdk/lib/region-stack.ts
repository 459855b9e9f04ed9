import { CliCredentialsStackSynthesizer, Stack, Tags } from 'aws-cdk-lib';
import * as ssm from 'aws-cdk-lib/aws-ssm';
import type { Construct } from 'constructs';
import type { Config } from './config.js';
import { Names, type Shared } from './names.js';

/** Properties of a {@link RegionStack}. */
export interface RegionStackProps {
  /** What is deployed. */
  readonly config: Config;
  /** Where. */
  readonly region: string;
  /** What it is, for a list of stacks. */
  readonly description: string;
}

/**
 * A stack in one Region. Stacks of a Region know each other by names and parameters, never by exports, and nothing of the
 * other Region: each deploys while the other Region is down.
 */
export class RegionStack extends Stack {
  /** Names by convention. */
  protected readonly names: Names;

  constructor(scope: Construct, id: string, props: RegionStackProps) {
    const { config } = props;
    const { pair } = config.document;
    super(scope, id, {
      env: { account: config.account, region: props.region },
      description: `Understudy, pair ${pair.name}: ${props.description}`,
      ...(config.local === undefined
        ? { terminationProtection: true }
        : { synthesizer: new CliCredentialsStackSynthesizer({ fileAssetsBucketName: config.local.assets }) }),
    });
    // What CloudFormation does not tag everywhere is left out.
    Tags.of(this).add('understudy:pair', pair.name, { excludeResourceTypes: ['AWS::ApplicationAutoScaling::ScalableTarget'] });
    this.names = new Names(pair);
  }

  /** Tells the Region's other stacks. */
  protected share(what: Shared, value: string): void {
    new ssm.StringParameter(this, `Shared-${what}`, {
      parameterName: this.names.shared(what),
      description: 'What other stacks of this Region know this one by',
      stringValue: value,
    });
  }
}
