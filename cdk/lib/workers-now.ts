import { createHash } from 'node:crypto';
import { CustomResource, Lazy, Stack, Token } from 'aws-cdk-lib';
import type * as ecs from 'aws-cdk-lib/aws-ecs';
import { Construct } from 'constructs';
import type { InlineFunction } from './inline-function.js';

/** Properties of {@link WorkersNow}. */
export interface WorkersNowProps {
  /** Says how many workers a service has. */
  readonly counter: InlineFunction;
  /** The service. */
  readonly service: ecs.FargateService;
  /** Its cluster's name. */
  readonly cluster: string;
  /** Its own name. */
  readonly name: string;
}

/**
 * Leaves a service the number of workers that it has. How many that is is data, set by recoveries and by people;
 * CloudFormation would begin a new service with one, and set an old one to whatever the template says. So the template
 * says what there is: none when the service is made, and what is asked for each time that anything of it changes.
 */
export class WorkersNow extends Construct {
  constructor(scope: Construct, id: string, props: WorkersNowProps) {
    super(scope, id);
    const service = props.service.node.defaultChild as ecs.CfnService;
    const now = new CustomResource(this, 'Now', {
      resourceType: 'Custom::WorkersNow',
      serviceToken: props.counter.function.functionArn,
      properties: {
        Cluster: props.cluster,
        Service: props.name,
        Task: props.service.taskDefinition.taskDefinitionArn,
        // Asked again whenever the service's own properties change, and only then.
        Of: Lazy.uncachedString({ produce: () => digest(service) }),
      },
    });
    now.node.addDependency(props.counter);
    now.node.addDependency(props.service.cluster);
    service.desiredCount = Token.asNumber(now.getAtt('Count'));
  }
}

function digest(service: ecs.CfnService): string {
  const { desiredCount: _count, ...rest } = (service as unknown as { cfnProperties: Record<string, unknown> }).cfnProperties;
  const text = JSON.stringify(Stack.of(service).resolve(rest));
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
