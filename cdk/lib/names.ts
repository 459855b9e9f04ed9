import { ArnFormat, CfnDynamicReference, CfnDynamicReferenceService, type Stack } from 'aws-cdk-lib';
import type { Pair } from './pair.js';

/** What stacks of one Region tell each other. */
export type Shared = 'key' | 'vpc' | `subnet-${number}` | `group-${Role}`;

/** Whose network interfaces a security group is for. */
export type Role = 'functions' | 'workers' | 'operator' | 'brokers';

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

  /** Where people are told, in a Region. */
  peopleArn(stack: Stack): string {
    return stack.formatArn({ service: 'sns', resource: `${this.prefix}-people` });
  }

  /** The parameter by which stacks of one Region know something of each other. */
  shared(what: Shared): string {
    return `/understudy/${this.pair.name}/shared/${what}`;
  }

  /** What such a parameter holds, read by CloudFormation when it deploys. */
  read(what: Shared): string {
    return new CfnDynamicReference(CfnDynamicReferenceService.SSM, this.shared(what)).toString();
  }

  /** The key of a network that is made here; logins to the other Region's cluster are encrypted under it too. */
  get networkKey(): string {
    return `${this.prefix}-network`;
  }

  /** An MSK cluster that is made here; both are called the same. */
  get cluster(): string {
    return this.prefix;
  }

  /** The secret of Understudy's own login to a cluster; MSK wants the beginning. */
  loginSecret(alias: string): string {
    return `AmazonMSK_${this.prefix}-${alias}`;
  }

  /** The log of something that is no function. */
  log(what: string): string {
    return `/understudy/${this.pair.name}/${what}`;
  }
}
