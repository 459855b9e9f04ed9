import type { Template } from 'aws-cdk-lib/assertions';
import type { Config } from '../lib/config.js';
import type { Side } from '../lib/pair.js';
import { sorted } from './templates.js';

/** A template as seen from a side: what is of this Region is called HERE, what is of the other one THERE. */
export function seenFrom(template: Template, config: Config, here: Side, there: Side): unknown {
  const words = (side: Side) => {
    const arn = config.document.pair.clusters[side.alias]?.msk_arn ?? '';
    const network = config.networks[side.region];
    const cidr = network !== undefined && 'cidr' in network ? [network.cidr, subnets(network.cidr)].flat() : [];
    return [arn, side.region, side.region.replaceAll('-', ''), side.alias, ...cidr].filter((word) => word !== '');
  };
  const said = (text: string, side: Side, word: string) =>
    words(side).reduce((it, name, index) => it.replaceAll(name, `${word}${index}`), text);
  const text = said(said(JSON.stringify(plain(template)), here, 'HERE'), there, 'THERE')
    // Some ids end in a hash of a name that holds the Region.
    .replaceAll(/(?:[0-9A-F]{8}){1,2}(?=["A-Z])/g, '#')
    .replaceAll(/(NetworkGroups[a-z]+)[0-9A-F#]+(?=")/g, '$1#')
    // So do digests of a service, and of the pair as a Region reads it.
    .replaceAll(/"(Of|UNDERSTUDY_PAIR_DIGEST)":"[0-9a-f]{16}"/g, '"$1":"#"');
  return sorted(JSON.parse(text));
}

/** Without what names both sides in the pair's order, which is the same text in both Regions and no part of the symmetry. */
function plain(template: Template): unknown {
  const copy = structuredClone(template.toJSON()) as { Resources: Record<string, { Type: string; Properties: Record<string, unknown> }> };
  for (const resource of Object.values(copy.Resources)) {
    if (resource.Type === 'AWS::SSM::Parameter') {
      delete resource.Properties['Value'];
    }
    if (resource.Type === 'AWS::CloudWatch::Dashboard') {
      delete resource.Properties['DashboardBody'];
    }
    if (resource.Type === 'AWS::IAM::Policy') {
      resource.Properties['PolicyDocument'] = sorted(resource.Properties['PolicyDocument']);
    }
    // The ids of a network that is there already.
    if (resource.Type === 'AWS::Lambda::Function') {
      delete resource.Properties['VpcConfig'];
    }
    if (resource.Type === 'AWS::ECS::Service') {
      delete resource.Properties['NetworkConfiguration'];
    }
    for (const container of (resource.Properties['ContainerDefinitions'] ?? []) as { Environment?: { Name: string; Value: string }[]; Command?: string[] }[]) {
      // The operator has both flow files, in the pair's order.
      if (container.Environment?.some((it) => it.Name === 'FLOW_1')) {
        container.Environment.sort((a, b) => a.Value.localeCompare(b.Value)).forEach((it) => (it.Name = 'FLOW'));
        container.Command = [];
      }
    }
  }
  return copy;
}

/** The addresses that subnets of a /16 begin with. */
function subnets(cidr: string): string {
  return cidr.split('.').slice(0, 2).join('.') + '.';
}
