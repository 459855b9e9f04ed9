import type { App } from 'aws-cdk-lib';
import type { Config } from './config.js';
import { ControlPlaneStack } from './control-plane-stack.js';
import { LedgerStack } from './ledger-stack.js';
import { sidesOf } from './pair.js';

/** What a pair is deployed as: its ledger, and the same control plane in both Regions. */
export interface Understudy {
  readonly ledger: LedgerStack;
  readonly controlPlanes: readonly ControlPlaneStack[];
}

/** Adds a pair's stacks to an app. `functions` is the folder that holds `bootstrap`. */
export function understudy(app: App, config: Config, functions: string): Understudy {
  const { pair } = config.document;
  const prefix = `Understudy-${pair.name}`;
  return {
    ledger: new LedgerStack(app, `${prefix}-Ledger`, { config }),
    controlPlanes: sidesOf(pair).map(
      (side) => new ControlPlaneStack(app, `${prefix}-${side.region}`, { config, side, functions }),
    ),
  };
}
