import { ArnFormat, type Stack } from 'aws-cdk-lib';
import type { Pair } from './pair.js';

/**
 * Names that hold by convention, so that no stack refers to another and each Region deploys while the other is down.
 * The functions' adapters know the same ones.
 */
export class Names {
  private readonly pair: Pair;

  constructor(pair: Pair) {
    this.pair = pair;
  }

  /** What most names begin with. */
  get prefix(): string {
    return `understudy-${this.pair.name}`;
  }

  /** The ledger's table. */
  get ledgerTable(): string {
    return `${this.prefix}-ledger`;
  }

  /** The bucket of plans, cuts and evidence of a Region. */
  bucket(stack: Stack): string {
    return `${this.prefix}-${stack.account}-${stack.region}`;
  }

  /** The parameter that holds the pair. */
  get pairParameter(): string {
    return `/understudy/${this.pair.name}/pair`;
  }

  /** A step's function. */
  function(step: string): string {
    return `${this.prefix}-${step}`;
  }

  /** A state machine. */
  machine(name: string): string {
    return `${this.prefix}-${name}`;
  }

  /** What the ARNs of all machines of a Region begin with. */
  machinesPrefix(stack: Stack): string {
    return this.machineArn(stack, stack.region, '');
  }

  /** A machine of some Region. */
  machineArn(stack: Stack, region: string, name: string): string {
    return stack.formatArn({
      service: 'states',
      resource: 'stateMachine',
      resourceName: this.machine(name),
      region,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }

  /** The alarm that leads to a recovery when a cluster is unhealthy; `trigger-recovery` knows it by this name. */
  alarm(about: string): string {
    return `${this.prefix}-${about}-unhealthy`;
  }
}
