import { join, resolve } from 'node:path';
import { App } from 'aws-cdk-lib';
import { readConfig } from '../lib/config.js';
import { checkGoodPractice } from '../lib/nag.js';
import { understudy } from '../lib/understudy.js';

const app = new App();
const root = join(import.meta.dirname, '..', '..');
const config = (app.node.tryGetContext('config') as string | undefined) ?? 'config/orders.json';
const functions = app.node.tryGetContext('functions') as string | undefined;
if (functions === undefined) {
  throw new Error('say where the functions are: -c functions=FOLDER, which holds bootstrap; scripts/aws-deploy builds it');
}
understudy(app, readConfig(resolve(root, config)), resolve(root, functions));
if (app.node.tryGetContext('nag') !== undefined) {
  checkGoodPractice(app);
}
