import { Platform } from 'aws-cdk-lib/aws-ecr-assets';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import type { Config } from './config.js';
import { REPOSITORY } from './repository.js';

/** Which image: the binary alone, or with a shell. */
export type Target = 'replicator' | 'operator';

/** An image of the repository's Dockerfile, built when it is deployed and kept in the Region's own registry. */
export function image(config: Config, target: Target): ecs.ContainerImage {
  const version = process.env['UNDERSTUDY_VERSION'];
  return ecs.ContainerImage.fromAsset(REPOSITORY, {
    file: 'Dockerfile',
    target,
    // Which build the binary says that it is: scripts/aws-deploy names the commit.
    ...(version ? { buildArgs: { UNDERSTUDY_VERSION: version } } : {}),
    platform: config.architecture === 'arm64' ? Platform.LINUX_ARM64 : Platform.LINUX_AMD64,
    assetName: `understudy-${target}`,
  });
}

/** The processors that tasks run on. */
export function runtimePlatform(config: Config): ecs.RuntimePlatform {
  return {
    cpuArchitecture: config.architecture === 'arm64' ? ecs.CpuArchitecture.ARM64 : ecs.CpuArchitecture.X86_64,
    operatingSystemFamily: ecs.OperatingSystemFamily.LINUX,
  };
}
