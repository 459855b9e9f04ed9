import { RemovalPolicy } from 'aws-cdk-lib';
import * as ssm from 'aws-cdk-lib/aws-ssm';
import { Construct } from 'constructs';
import type { Names } from './names.js';
import { adaptersOf, type PairDocument } from './pair.js';

/** Properties of {@link PairParameters}. */
export interface PairParametersProps {
  /** The pair and its flow files. */
  readonly document: PairDocument;
  /** Names by convention. */
  readonly names: Names;
}

/** What a pointer's parameter holds until somebody points: never anything that a later deployment could change. */
export const NOT_POINTED = '{"schema":0,"note":"not pointed yet; scripts/aws-point does it once, every recovery afterwards"}';

/** Parameters take 4 KiB, and 8 KiB for a fee. */
const STANDARD = 4096;
const LARGEST = 8192;

/**
 * The parameter that holds the pair, and those that applications follow.
 *
 * Where applications go is data and no part of a deployment: CloudFormation writes a value when its template changes, so
 * the template's value is a constant, and a deployment after a recovery leaves the pointer where the recovery set it.
 */
export class PairParameters extends Construct {
  readonly pair: ssm.StringParameter;
  readonly pointers: readonly ssm.StringParameter[];

  constructor(scope: Construct, id: string, props: PairParametersProps) {
    super(scope, id);
    const text = JSON.stringify(props.document);
    if (Buffer.byteLength(text) > LARGEST) {
      throw new Error(
        `pair ${props.document.pair.name} takes ${Buffer.byteLength(text)} bytes with its flow files, and a parameter ${LARGEST}: ` +
          'say topics and groups by fewer patterns, or make two pairs of what need not move together',
      );
    }
    this.pair = new ssm.StringParameter(this, 'Pair', {
      parameterName: props.names.pairParameter,
      description: 'The pair and its flow files, as the functions read them',
      stringValue: text,
      tier: Buffer.byteLength(text) > STANDARD ? ssm.ParameterTier.ADVANCED : ssm.ParameterTier.STANDARD,
    });
    const names = adaptersOf(props.document.pair, 'ssm-parameter').map((adapter) => adapter.parameter);
    this.pointers = [...new Set(names)].sort().map((name) => {
      const pointer = new ssm.StringParameter(this, `Pointer${name}`, {
        parameterName: name,
        description: 'Which cluster applications use; written by recoveries',
        stringValue: NOT_POINTED,
      });
      // Applications read it as long as they run, whatever becomes of the control plane.
      pointer.applyRemovalPolicy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE);
      return pointer;
    });
  }
}
