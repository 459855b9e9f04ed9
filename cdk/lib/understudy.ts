import type { App } from 'aws-cdk-lib';
import { type Config, isNew, type Workers } from './config.js';
import { ControlPlaneStack } from './control-plane-stack.js';
import { KafkaStack } from './kafka-stack.js';
import { LedgerStack } from './ledger-stack.js';
import { MeshAccepterStack, MeshStack } from './mesh-stack.js';
import { NetworkStack } from './network-stack.js';
import { ObservabilityStack } from './observability-stack.js';
import { type Side, sidesOf } from './pair.js';
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
  const network = config.networks[side.region];
  return {
    side,
    ...(network !== undefined && isNew(network) ? { network: new NetworkStack(app, `${id}-Network`, of) } : {}),
    ...(config.kafka !== undefined && 'create' in config.kafka
      ? { kafka: new KafkaStack(app, `${id}-Kafka`, { ...of, kafka: config.kafka.create }) }
      : {}),
    controlPlane: new ControlPlaneStack(app, id, of),
    ...(config.workers === undefined ? {} : working(app, id, { ...of, workers: config.workers })),
  };
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
  return [asked, new MeshAccepterStack(app, `${id}-Accepter`, { config, mesh: asked, requester, accepter })];
}
