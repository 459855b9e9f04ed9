import { RemovalPolicy, Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as msk from 'aws-cdk-lib/aws-msk';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';

/** Properties of a {@link KafkaLogin}. */
export interface KafkaLoginProps {
  /** The secret's name; MSK takes only those that begin with `AmazonMSK_`. */
  readonly secretName: string;
  /** The user. */
  readonly username: string;
  /** The cluster. */
  readonly cluster: msk.CfnCluster;
  /** The key that the secret is encrypted under; MSK does not take Secrets Manager's own. */
  readonly key: kms.IKey;
  /** The other Region, where whoever reads this cluster finds the same secret, and the key of the replica. */
  readonly replica: { readonly region: string; readonly keyAlias: string };
}

/** A SCRAM user of a cluster: a secret with a password that nobody has seen, told to MSK, with a replica in the other Region. */
export class KafkaLogin extends Construct {
  readonly secret: secretsmanager.Secret;

  constructor(scope: Construct, id: string, props: KafkaLoginProps) {
    super(scope, id);
    this.secret = new secretsmanager.Secret(this, 'Secret', {
      secretName: props.secretName,
      description: `Understudy: the login of ${props.username}`,
      encryptionKey: props.key,
      generateSecretString: {
        secretStringTemplate: JSON.stringify({ username: props.username }),
        generateStringKey: 'password',
        excludePunctuation: true,
        passwordLength: 32,
      },
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    // By alias: the key is the other Region's, and nothing of a Region refers to the other one's stacks.
    (this.secret.node.defaultChild as secretsmanager.CfnSecret).replicaRegions = [
      { region: props.replica.region, kmsKeyId: props.replica.keyAlias },
    ];
    this.secret.addToResourcePolicy(
      new iam.PolicyStatement({
        sid: 'Brokers',
        actions: ['secretsmanager:GetSecretValue'],
        principals: [new iam.ServicePrincipal('kafka.amazonaws.com')],
        // In a secret's own policy this is the secret.
        resources: ['*'],
      }),
    );
    const association = new msk.CfnBatchScramSecret(this, 'Association', {
      clusterArn: props.cluster.ref,
      secretArnList: [this.secret.secretArn],
    });
    association.node.addDependency(this.secret);
    Validations.of(this.secret).acknowledge({
      id: 'AwsSolutions-SMG4',
      reason: 'A password is changed in two steps, by people (docs/aws.md); an alarm says when it is old.',
    });
  }
}
