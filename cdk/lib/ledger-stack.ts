import { CliCredentialsStackSynthesizer, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import type { Construct } from 'constructs';
import type { Config } from './config.js';
import { Names } from './names.js';
import { sidesOf } from './pair.js';

/** Properties of a {@link LedgerStack}. */
export interface LedgerStackProps {
  /** What is deployed. */
  readonly config: Config;
}

/**
 * The ledger: deployed once, with a replica in both Regions and strong consistency between them, so that either may be
 * lost and no two recoveries hold a pair at once. Without a witness it is a table in one Region: less, and cheaper; a
 * recovery needs that Region then.
 */
export class LedgerStack extends Stack {
  constructor(scope: Construct, id: string, props: LedgerStackProps) {
    const { config } = props;
    const { pair } = config.document;
    super(scope, id, {
      env: { account: config.account, region: config.ledger.region },
      description: `Understudy, pair ${pair.name}: the ledger`,
      ...(config.local === undefined
        ? { terminationProtection: true }
        : { synthesizer: new CliCredentialsStackSynthesizer({ fileAssetsBucketName: config.local.assets }) }),
    });
    const tableName = new Names(pair).ledgerTable;
    const partitionKey = { name: 'pk', type: dynamodb.AttributeType.STRING };
    const pointInTimeRecoverySpecification = { pointInTimeRecoveryEnabled: true };
    if (config.ledger.witness === undefined) {
      new dynamodb.Table(this, 'Table', {
        tableName,
        partitionKey,
        billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
        encryption: dynamodb.TableEncryption.AWS_MANAGED,
        pointInTimeRecoverySpecification,
        removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
      });
      return;
    }
    const others = sidesOf(pair).map((side) => side.region);
    new dynamodb.TableV2(this, 'Table', {
      tableName,
      partitionKey,
      billing: dynamodb.Billing.onDemand(),
      // A key of ours would have to exist in every Region before the table does; what is in here is no secret.
      encryption: dynamodb.TableEncryptionV2.awsManagedKey(),
      pointInTimeRecoverySpecification,
      deletionProtection: true,
      multiRegionConsistency: dynamodb.MultiRegionConsistency.STRONG,
      witnessRegion: config.ledger.witness,
      replicas: others.filter((region) => region !== config.ledger.region).map((region) => ({ region })),
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
  }
}
