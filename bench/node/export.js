// node export.js POSTGRES-URI SQL > FILE: the rows of a query as gzipped CSV, as one writes it with the packages for that.
import { createRequire } from "node:module";
import { pipeline } from "node:stream/promises";
import { constants, createGzip } from "node:zlib";

const require = createRequire(process.env.BENCH_NODE_PACKAGES + "/");
const pg = require("pg");
const QueryStream = require("pg-query-stream");
const { stringify } = require("csv-stringify");

const client = new pg.Client(process.argv[2]);
await client.connect();
const rows = client.query(new QueryStream(process.argv[3], [], { batchSize: 1000 }));
await pipeline(rows, stringify({ header: true }), createGzip({ level: constants.Z_BEST_SPEED }), process.stdout);
await client.end();
