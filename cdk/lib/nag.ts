import { type App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';

/** Holds what is synthesised against AWS's own list of good practice. */
export function checkGoodPractice(app: App): void {
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
}
