// Prints what Tint, the WGSL compiler of Chromium, says of every .wgsl file in a folder.
//
// node scripts/tint.mjs PACKAGE FOLDER [PART PARTS], where PACKAGE is the folder of the npm package `webgpu`
// (scripts/fetch_shader_tools.sh). A line for each file: its name, a tab, and `ok` or what is wrong in one line of JSON. Of so many parts
// of the files it takes one, the first being 0. Dawn's null backend has no GPU and needs none. Each text also becomes a pipeline
// under the limits that every WebGPU device keeps, but for files that end in `.wide.wgsl`.

import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, texts, part = '0', parts = '1'] = process.argv.slice(2);
const { create, globals } = await import(pathToFileURL(join(resolve(folder), 'index.js')));
Object.assign(globalThis, globals);

// Dawn crashes where this is collected while its devices live.
globalThis.gpu = create(['backend=null']);
const adapter = await globalThis.gpu.requestAdapter();
if (!adapter) {
  throw new Error('Dawn has no null backend here');
}
const device = await adapter.requestDevice({ requiredFeatures: ['subgroups'] });

const all = readdirSync(texts).filter((name) => name.endsWith('.wgsl')).sort();
const names = all.filter((_, number) => number % Number(parts) === Number(part));
for (const name of names) {
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code: readFileSync(join(texts, name), 'utf8') });
  const { messages } = await module.getCompilationInfo();
  const errors = messages
    .filter((message) => message.type === 'error')
    .map((message) => `${message.lineNum}:${message.linePos} ${message.message}`);
  if (errors.length === 0 && !name.endsWith('.wide.wgsl')) {
    device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main' } });
  }
  const refusal = await device.popErrorScope();
  if (refusal && errors.length === 0) {
    errors.push(refusal.message);
  }
  console.log(`${name}\t${errors.length === 0 ? 'ok' : JSON.stringify(errors.join('\n'))}`);
}
// Without this, Dawn's threads keep the process.
process.exit(0);
