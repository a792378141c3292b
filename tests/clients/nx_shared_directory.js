// Stands in for nx's shared-directory cache plugin: what is documented of it, on the MIT-licensed API of nx itself. No
// commercial package was examined. nx loads it as node_modules/@nx/shared-fs-cache (NxWorkspace puts it there).
//
//   retrieve   a row of a second database, "shared", inside of the cache folder
//   store      <hash> aside to <hash>-backup, a row without outputs, <hash> (empty) removed, <hash>-backup back
//   active     where CI is set
//
// HITFS_TEST_STORE_ENDS=<n> ends the process after the nth step of a store, as a kill in the middle of it.
'use strict';
const fs = require('node:fs');
const path = require('node:path');

const nx = path.dirname(require.resolve('nx/package.json', { paths: [process.cwd()] }));
const inside = (name) => {
  const places = [path.join(nx, 'dist/src', name), path.join(nx, 'src', name)];
  return require(places.find((place) => fs.existsSync(place) || fs.existsSync(place + '.js')));
};

exports.getRemoteCache = function () {
  if (!process.env.CI || process.env.CI === 'false') return null;
  const { NxCache } = inside('native');
  const { cacheDir } = inside('utils/cache-directory');
  const { workspaceRoot } = inside('utils/workspace-root');
  const { getDbConnection } = inside('utils/db-connection');
  const shared = new NxCache(workspaceRoot, cacheDir, getDbConnection({ directory: cacheDir, dbName: 'shared' }), false);
  const last = Number(process.env.HITFS_TEST_STORE_ENDS || 0);
  const ends = (step) => {
    if (step === last) process.kill(process.pid, 'SIGKILL');
  };
  return {
    async retrieve(hash) {
      return shared.get(hash);
    },
    async store(hash, _directory, terminalOutput, code) {
      const entry = path.join(cacheDir, hash);
      fs.renameSync(entry, `${entry}-backup`);
      ends(1);
      shared.put(hash, terminalOutput, [], code);
      ends(2);
      fs.rmdirSync(entry);
      ends(3);
      fs.renameSync(`${entry}-backup`, entry);
      return true;
    },
  };
};
