import { createHash } from 'node:crypto';
import { CfnOutput } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as subscriptions from 'aws-cdk-lib/aws-sns-subscriptions';
import type { Construct } from 'constructs';
import type { Config } from './config.js';
import { definitions, timeoutOf } from './definitions.js';
import { EncryptionKey } from './encryption-key.js';
import { EvidenceBucket } from './evidence-bucket.js';
import { HealthAlarms } from './health-alarms.js';
import { Notices } from './notices.js';
import { OwnAlarms } from './own-alarms.js';
import { type PairDocument, readIn, type Side } from './pair.js';
import { PairParameters } from './pair-parameters.js';
import { Permissions } from './permissions.js';
import { placeOf } from './place.js';
import { REACH } from './reach.js';
import { RecoveryFunction } from './recovery-function.js';
import { RecoveryMachine } from './recovery-machine.js';
import { RegionStack } from './region-stack.js';
import { Schedules } from './schedules.js';
import { STEPS, idOf, type Step } from './steps.js';

/** Properties of a {@link ControlPlaneStack}. */
export interface ControlPlaneStackProps {
  /** What is deployed. */
  readonly config: Config;
  /** This Region's side of the pair. */
  readonly side: Side;
  /** The folder that holds `bootstrap`. */
  readonly functions: string;
}

/**
 * One Region's half of the control plane. Both Regions have the same one: which cluster is active is in the ledger and
 * nowhere in here, and nothing in here refers to the other Region's stack.
 */
export class ControlPlaneStack extends RegionStack {
  constructor(scope: Construct, id: string, props: ControlPlaneStackProps) {
    const { config, side } = props;
    const { pair } = config.document;
    super(scope, id, { config, region: side.region, description: `recoveries that make ${side.alias} active` });
    const { names } = this;
    const document = this.document(props);
    const machines = definitions();
    const { key } = new EncryptionKey(this, 'Key', { name: names.prefix });
    const { bucket } = new EvidenceBucket(this, 'Evidence', { bucketName: names.bucket(this), key });
    const notices = new Notices(this, 'Notices', { prefix: names.prefix, key });
    new PairParameters(this, 'Parameters', { document, names });
    this.share('key', key.keyArn);

    const permissions = new Permissions(this, 'Permissions', {
      document,
      side,
      names,
      ledgerRegion: config.ledger.witness === undefined ? config.ledger.region : side.region,
      bucket,
      key,
      people: notices.people,
      machines: machines.map((it) => it.name),
      kafkaIam: config.kafkaIam,
    });
    const environment = this.environmentOf(document, props);
    const code = lambda.Code.fromAsset(props.functions);
    const functions = new Map<Step, RecoveryFunction>();
    const network = placeOf(config, names, side.region, 'functions');
    for (const step of STEPS) {
      const made = new RecoveryFunction(this, idOf(step), {
        step,
        functionName: names.function(step),
        code,
        timeoutSeconds: timeoutOf(step, machines),
        environment,
        architecture: config.architecture === 'arm64' ? lambda.Architecture.ARM_64 : lambda.Architecture.X86_64,
        logDays: config.logDays,
        key,
        ...(network !== undefined && REACH[step].includes('kafka') ? { network } : {}),
      });
      permissions.everyStep(made.role);
      for (const reach of REACH[step]) {
        permissions.reach(made.role, reach);
      }
      functions.set(step, made);
    }
    const of = (step: Step) => functions.get(step) as RecoveryFunction;

    const recovery = machines.map(
      (definition) =>
        new RecoveryMachine(this, idOf(definition.name as Step), {
          stateMachineName: names.machine(definition.name),
          definition,
          functions,
          key,
          logDays: config.logDays,
          encrypted: config.local === undefined,
        }),
    );

    const trigger = of('trigger-recovery');
    notices.alarms.addSubscription(
      new subscriptions.LambdaSubscription(trigger.function, { deadLetterQueue: notices.undelivered }),
    );
    trigger.function.configureAsyncInvoke({
      // Not `SqsDestination`: that permits more of the key than sending takes.
      onFailure: { bind: () => ({ destination: notices.undelivered.queueArn }) },
      retryAttempts: 2,
    });
    permissions.leaveUndelivered(trigger.role, notices.undelivered);
    new HealthAlarms(this, 'Health', {
      names,
      pair: pair.name,
      about: side.other.alias,
      alarms: notices.alarms,
      composite: config.local === undefined,
    });
    new Schedules(this, 'Schedules', {
      prefix: names.prefix,
      pair: pair.name,
      side,
      probe: of('probe-health'),
      trigger,
      fences: of('keep-fences'),
      undelivered: notices.undelivered,
    });
    new OwnAlarms(this, 'Own', {
      prefix: names.prefix,
      people: notices.people,
      undelivered: notices.undelivered,
      unattended: [of('probe-health'), of('keep-fences'), trigger],
      machines: recovery,
    });
    new CfnOutput(this, 'TriggerFunction', { value: trigger.function.functionName });
    new CfnOutput(this, 'PeopleTopic', { value: notices.people.topicArn });
  }

  /** The pair as this Region reads it. */
  private document({ config, side }: ControlPlaneStackProps): PairDocument {
    // Stand-ins replicate no secrets.
    return config.local === undefined ? readIn(config.document, side.region) : config.document;
  }

  private environmentOf(document: PairDocument, { config, side }: ControlPlaneStackProps): Record<string, string> {
    const { names } = this;
    const elsewhere = config.ledger.witness === undefined && config.ledger.region !== side.region;
    return {
      UNDERSTUDY_PAIR_PARAMETER: names.pairParameter,
      // Read by nobody: a pair that changed makes functions start anew, which read it once.
      UNDERSTUDY_PAIR_DIGEST: createHash('sha256').update(JSON.stringify(document)).digest('hex').slice(0, 16),
      UNDERSTUDY_LEDGER_TABLE: names.ledgerTable,
      ...(elsewhere ? { UNDERSTUDY_LEDGER_REGION: config.ledger.region } : {}),
      UNDERSTUDY_BUCKET: names.bucket(this),
      UNDERSTUDY_MACHINES: names.machinesPrefix(this),
      ...config.local?.environment[side.region],
    };
  }
}
