import type { App } from 'aws-cdk-lib';
import { ClientsStack } from './clients-stack.js';
import { type Config, isNew, type Workers } from './config.js';
import { ControlPlaneStack } from './control-plane-stack.js';
import { KafkaStack } from './kafka-stack.js';
import { LedgerStack } from './ledger-stack.js';
import { MeshAccepterStack, MeshStack } from './mesh-stack.js';
import { NetworkStack } from './network-stack.js';
import { ObservabilityStack } from './observability-stack.js';
import { pointersOf, type Side, sidesOf } from './pair.js';
import { ReplicatorStack } from './replicator-stack.js';

/**
 * What a pair is deployed as: what exists once (the ledger, the peering), and in both Regions the same set of stacks.
 * What the configuration does not ask for is left out: then it is somebody else's.
 */
export interface Understudy {
  readonly ledger: LedgerStack;
  readonly mesh: readonly (MeshStack | MeshAccepterStack)[];
  readonly regions: readonly RegionalStacks[];
}

/** A Region's stacks. */
export interface RegionalStacks {
  readonly side: Side;
  readonly network?: NetworkStack;
  readonly kafka?: KafkaStack;
  readonly controlPlane: ControlPlaneStack;
  readonly clients?: ClientsStack;
  readonly replicator?: ReplicatorStack;
  readonly observability?: ObservabilityStack;
}

/** Adds a pair's stacks to an app. `functions` is the folder that holds `bootstrap`. */
export function understudy(app: App, config: Config, functions: string): Understudy {
  const { pair } = config.document;
  const prefix = `Understudy-${pair.name}`;
  const regions = sidesOf(pair).map((side) => regional(app, `${prefix}-${side.region}`, { config, side, functions }));
  return {
    ledger: new LedgerStack(app, `${prefix}-Ledger`, { config }),
    mesh: mesh(app, `${prefix}-Mesh`, config, regions),
    regions,
  };
}

interface Of {
  readonly config: Config;
  readonly side: Side;
  readonly functions: string;
}

function regional(app: App, id: string, of: Of): RegionalStacks {
  const { config, side } = of;
  const given = config.networks[side.region];
  const network = given !== undefined && isNew(given) ? new NetworkStack(app, `${id}-Network`, of) : undefined;
  const kafka =
    config.kafka !== undefined && 'create' in config.kafka
      ? new KafkaStack(app, `${id}-Kafka`, { ...of, kafka: config.kafka.create })
      : undefined;
  const controlPlane = new ControlPlaneStack(app, id, of);
  const follows = pointersOf(config.document.pair).length > 0;
  const stacks = {
    side,
    ...(network === undefined ? {} : { network }),
    ...(kafka === undefined ? {} : { kafka }),
    controlPlane,
    ...(follows ? { clients: new ClientsStack(app, `${id}-Clients`, of) } : {}),
    ...(config.workers === undefined ? {} : working(app, id, { ...of, workers: config.workers })),
  };
  inOrder(stacks);
  return stacks;
}

/** Which stack tells parameters that another one reads: the order in which a Region's are deployed. */
function inOrder({ network, kafka, controlPlane, replicator, observability }: RegionalStacks): void {
  if (network !== undefined) {
    kafka?.addStackDependency(network);
    controlPlane.addStackDependency(network);
  }
  replicator?.addStackDependency(controlPlane);
  observability?.addStackDependency(controlPlane);
}

/** The workers, and what watches them. */
function working(app: App, id: string, of: Of & { readonly workers: Workers }) {
  return {
    replicator: new ReplicatorStack(app, `${id}-Replicator`, of),
    observability: new ObservabilityStack(app, `${id}-Observability`, of),
  };
}

/** The peering, where both networks are ours. */
function mesh(app: App, id: string, config: Config, regions: readonly RegionalStacks[]) {
  const networks = regions.flatMap((it) => it.network ?? []);
  const requester = networks.find((it) => it.region === config.ledger.region);
  const accepter = networks.find((it) => it !== requester);
  if (requester === undefined || accepter === undefined) {
    return [];
  }
  const asked = new MeshStack(app, id, { config, requester, accepter });
  asked.addStackDependency(requester);
  asked.addStackDependency(accepter);
  return [asked, new MeshAccepterStack(app, `${id}-Accepter`, { config, mesh: asked, requester, accepter })];
}
