// What stands on both sides of a real gateway: an origin that answers in the ways that matter, a database, and clients that read as
// fast as they come, at a rate, or not at all. All in this process, on loopback.

import {spawnSync} from "node:child_process";
import crypto from "node:crypto";
import {once} from "node:events";
import fs from "node:fs/promises";
import http from "node:http";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import {start} from "./browser.mjs";

const BLOCK = Buffer.alloc(65536, "x");

// Text that gives a compressor work: base64 of noise.
const NOISE = Buffer.from(crypto.randomBytes(3 << 20).toString("base64"));

// Sends blocks for as long as they are taken; no faster than `rate` bytes a second, if there is one.
function pour(response, block, rate) {
    if (!rate) {
        const more = () => { while (response.write(block)); };
        response.on("drain", more);
        return more();
    }
    const every = setInterval(() => { if (!response.writableNeedDrain) response.write(block.subarray(0, rate / 10)); }, 100);
    response.on("close", () => clearInterval(every));
}

function drip(response) {
    response.write("a little");
    const every = setInterval(() => response.write("a little"), 400);
    response.on("close", () => clearInterval(every));
}

// Answers .../silent with a few bytes and then nothing, .../text with text without an end, .../drip with a few bytes every now and then, ?rate=N with N
// bytes a second, ?size=N with N bytes, .../never with nothing at all, all else with bytes for as long as they are taken. `busy` counts the requests that it has in
// hand.
export async function startOrigin() {
    const server = http.createServer((request, response) => {
        server.busy++;
        response.on("close", () => server.busy--);
        const {pathname, searchParams} = new URL(request.url, "http://here");
        const size = Number(searchParams.get("size"));
        if (pathname.endsWith("/never")) return;
        if (size) return void response.end(Buffer.alloc(size, "x"));
        const text = pathname.endsWith("/text");
        response.writeHead(200, {"Content-Type": text ? "text/plain" : "application/octet-stream"});
        if (pathname.endsWith("/silent")) return void response.write("a little");
        if (pathname.endsWith("/drip")) return void drip(response);
        pour(response, text ? NOISE : BLOCK, Number(searchParams.get("rate")));
    });
    server.busy = 0;
    server.requestTimeout = server.timeout = 0;
    server.on("clientError", (_, socket) => socket.destroy());
    server.listen({port: 0, host: "127.0.0.1", backlog: 4096});
    await once(server, "listening");
    server.endpoint = `127.0.0.1:${server.address().port}`;
    server.stop = () => {
        server.closeAllConnections();
        server.close();
    };
    return server;
}

export async function freePort() {
    const server = net.createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const {port} = server.address();
    server.close();
    await once(server, "close");
    return port;
}

// An SQLite file for the exports of a gateway.
export function makeDatabase(file, script = "create table t (x)") {
    const made = spawnSync("python3", ["-c", "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])", file, script], {stdio: "inherit"});
    if (made.status !== 0) throw new Error("the database was not made");
}

// A query that runs for longer than anybody waits, and gives no row.
export const ENDLESS_QUERY = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n where i < 0";

// `configuration(folder, port)` is all but the admin server; the folder goes with the gateway.
export async function realGateway(configuration) {
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), "headgate-page-"));
    const [port, admin] = [await freePort(), await freePort()];
    const file = path.join(folder, "headgate.yaml");
    await fs.writeFile(file, `admin: {address: "127.0.0.1:${admin}"}\n${configuration(folder, port)}`);
    const gateway = await start(process.env.HEADGATE_BIN, ["run", "-c", file], /admin on (\S+)/);
    const stop = gateway.stop;
    return Object.assign(gateway, {
        port,
        ask: async (path, how) => (await fetch(`${gateway.url}api/v1/${path}`, how)).json(),
        async stop() {
            await stop();
            await fs.rm(folder, {recursive: true, force: true});
        },
    });
}

// A client that has got the beginning of its answer. `rate`: bytes a second that it reads from then on, 0 none, Infinity as they come.
// `gone` is when its connection has ended, and `from` its own address.
export async function client(port, target, {rate = 0, headers = "", from = "127.0.0.1", answered = true} = {}) {
    const socket = net.connect({port, host: "127.0.0.1", localAddress: from});
    socket.on("error", () => {});
    const gone = new Promise(resolve => socket.once("close", resolve));
    await once(socket, "connect");
    socket.write(`GET ${target} HTTP/1.1\r\nHost: here\r\n${headers}\r\n`);
    if (answered) await once(socket, "data");
    if (rate === Infinity) {
        socket.on("data", () => {});
    } else {
        socket.pause();
        const every = rate && setInterval(() => socket.read(Math.min(rate / 10, socket.readableLength)), 100);
        gone.then(() => clearInterval(every));
    }
    return {socket, gone};
}
