// A TCP proxy that lets every byte arrive later: a server that is far away, for tests/bench/run.sh.
//
//   node latency_proxy.js PORT UPSTREAM_PORT ROUND_TRIP_MS
//
// Half of the round trip in each direction. Order is kept; the bandwidth is that of the machine. The handshake of a
// connection is not delayed, so that a new connection costs no more than a kept one.
'use strict';
const net = require('node:net');

const [port, upstreamPort, roundTrip] = process.argv.slice(2).map(Number);
const later = (work) => setTimeout(work, roundTrip / 2);

function pass(from, to) {
  from.on('data', (bytes) => later(() => to.write(bytes)));
  from.on('end', () => later(() => to.end()));
  from.on('error', () => to.destroy());
}

net
  .createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const upstream = net.connect({ port: upstreamPort, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    pass(client, upstream);
    pass(upstream, client);
  })
  .listen({ port, host: '127.0.0.1', backlog: 1024 });
