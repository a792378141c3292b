// Makes a small Nx workspace whose task hashes depend on nothing but its files, so that two of them share a cache.
//
//   node make_workspace.js FOLDER NODE_MODULES [PROJECTS]
//
// A chain of projects (ui needs core, app needs ui; further ones stand alone). `build` writes dist/<project> with every
// kind of file that a cache must bring back as it was: plain, executable, read-only, empty, large, deep, with a name
// beyond ASCII, an empty folder, links to a file and to a folder. `fail` ends with code 7, which nx reports as 1.
'use strict';
const fs = require('node:fs');
const path = require('node:path');

const [folder, modules, count = '3'] = process.argv.slice(2);
if (!folder || !modules) {
  console.error('usage: node make_workspace.js FOLDER NODE_MODULES [PROJECTS]');
  process.exit(2);
}

function write(name, content) {
  const file = path.join(folder, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content, null, 2) + '\n');
}

// Runs inside the workspace as the build of one project.
function build() {
  const fs = require('node:fs');
  const path = require('node:path');
  const name = process.argv[2];
  const dist = path.join('dist', name);
  const add = (file, content, mode = 0o644) => {
    const target = path.join(dist, file);
    fs.mkdirSync(path.dirname(target), { recursive: true });
    fs.writeFileSync(target, content);
    fs.chmodSync(target, mode);
  };
  fs.rmSync(dist, { recursive: true, force: true });
  add('index.js', `module.exports = '${name}';\n`);
  add('bin/run.sh', `#!/bin/sh\necho ${name}\n`, 0o755);
  add('LICENSE', 'all of it\n', 0o444);
  add('empty', '');
  add('caf\u00e9-\u8336.txt', 'name beyond ASCII\n');
  add(path.join(...Array(12).fill('deep'), 'leaf.txt'), 'leaf\n');
  // Bytes that do not compress, the same ones on every machine; few where there are many projects.
  const large = Buffer.alloc(name.startsWith('extra-') ? 3000 : 300000);
  for (let i = 0, x = 1; i < large.length; i++) large[i] = (x = (x * 48271) % 2147483647) & 255;
  add('large.bin', large);
  fs.mkdirSync(path.join(dist, 'nothing-in-here'));
  fs.symlinkSync('index.js', path.join(dist, 'main.js'));
  fs.symlinkSync('bin', path.join(dist, 'tools'));
  console.log(`built ${name}`);
}

const names = ['core', 'ui', 'app'];
const needs = { ui: ['core'], app: ['ui'] };
for (let i = names.length; i < Number(count); i++) names.push(`extra-${i}`);

write('package.json', { name: 'hitfs-example', version: '1.0.0', private: true });
write('nx.json', {
  neverConnectToCloud: true,
  analytics: false,
  targetDefaults: { build: { cache: true, dependsOn: ['^build'], inputs: ['{projectRoot}/**/*'] } },
});
write('.gitignore', 'node_modules\ndist\n.nx\nrun.json\n');
write('tools/build.js', `(${build})();\n`);
for (const name of names) {
  const command = (line) => ({ executor: 'nx:run-commands', options: { command: line, cwd: '.' } });
  write(`packages/${name}/src/source.txt`, `what ${name} is made of\n`);
  write(`packages/${name}/project.json`, {
    name,
    root: `packages/${name}`,
    implicitDependencies: needs[name] ?? [],
    targets: {
      build: { ...command(`node tools/build.js ${name}`), cache: true, outputs: [`{workspaceRoot}/dist/${name}`] },
      fail: { ...command('exit 7'), cache: true },
    },
  });
}
fs.symlinkSync(path.resolve(modules), path.join(folder, 'node_modules'));
