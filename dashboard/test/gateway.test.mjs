// The page of a real gateway, with a client that has stopped reading and an upstream that has stopped sending.

import assert from "node:assert/strict";
import {once} from "node:events";
import fs from "node:fs/promises";
import http from "node:http";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import {after, before, describe, test} from "node:test";
import {browser as launch, open, start} from "./browser.mjs";

const SECOND = 1000 * (process.env.HEADGATE_SLACK ?? 1);
const STALLED_MS = 500; // what the gateway calls stalled (stalled_after_ms)

// Answers /endless with bytes for as long as they are taken, and /silent with a few bytes and then nothing.
async function startOrigin() {
    const block = Buffer.alloc(65536, "x");
    const server = http.createServer((request, response) => {
        response.writeHead(200, {"Content-Type": "application/octet-stream"});
        if (request.url === "/silent") return void response.write("a little");
        const more = () => { while (response.write(block)); };
        response.on("drain", more);
        more();
    });
    server.on("clientError", (_, socket) => socket.destroy());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return server;
}

async function freePort() {
    const server = net.createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const {port} = server.address();
    server.close();
    await once(server, "close");
    return port;
}

// A client that reads the beginning of the answer, and then nothing more. `gone` is when its connection has ended.
async function askAndStop(port, target) {
    const socket = net.connect(port, "127.0.0.1");
    socket.on("error", () => {});
    const gone = once(socket, "close");
    await once(socket, "connect");
    socket.write(`GET ${target} HTTP/1.1\r\nHost: here\r\n\r\n`);
    await once(socket, "data");
    socket.pause();
    return {socket, gone};
}

describe("the page of a real gateway", () => {
    let browser, origin, gateway, page, port, folder;

    before(async () => {
        folder = await fs.mkdtemp(path.join(os.tmpdir(), "headgate-page-"));
        [browser, origin, port] = [await launch(), await startOrigin(), await freePort()];
        const admin = await freePort(), file = path.join(folder, "headgate.yaml");
        await fs.writeFile(file, `
server: {workers: 2}
admin: {address: "127.0.0.1:${admin}"}
listeners: [{name: web, address: "127.0.0.1:${port}"}]
routes: [{name: downloads, proxy: {upstream: files}}]
upstreams: {files: {endpoints: ["127.0.0.1:${origin.address().port}"]}}
`);
        gateway = await start(process.env.HEADGATE_BIN, ["run", "-c", file], /admin on (\S+)/);
        page = await open(browser, gateway.url);
    });
    after(async () => {
        const complaints = page?.complaints;
        await browser?.close();
        await gateway?.stop();
        origin?.closeAllConnections();
        origin?.close();
        await fs.rm(folder, {recursive: true, force: true});
        assert.deepEqual(complaints, [], "the console is silent");
    });

    const flow = target => page.locator(".flow", {hasText: target});
    const culprit = target => flow(target).locator(".stage.culprit.stalled");

    test("shows a gateway at rest", async () => {
        assert.equal(await page.locator("#headline").textContent(), "Nothing is under way.");
        assert.equal(await page.locator(".upstreams li.fine").count(), 1);
    });

    test("tells a client that has stopped reading, a second after it is called stalled", async () => {
        const client = await askAndStop(port, "/endless");
        const begun = performance.now();
        await culprit("/endless").waitFor();
        const took = performance.now() - begun;
        // A second for the next event, and one for the page; the rest is for a machine that does other things.
        assert.ok(took < STALLED_MS + 15 * SECOND, `it took ${took} ms`);
        assert.equal(await culprit("/endless").count(), 1);
        assert.match(await culprit("/endless").textContent(), /client 127\.0\.0\.1/);
        assert.match(await culprit("/endless").locator(".stage-words").textContent(), /^takes nothing: \d/);
        assert.match(await page.locator("#headline").textContent(), /^The client 127\.0\.0\.1 has taken nothing for \d/);
        assert.match(await flow("/endless").locator(".costs").textContent(), /keeps an upstream connection for \d/);
        await flow("/endless").getByRole("button", {name: "Details"}).click();
        await flow("/endless").locator(".transitions").waitFor();

        await flow("/endless").getByRole("button", {name: /^Abort/}).click();
        await flow("/endless").getByRole("button", {name: "Yes, abort"}).click();
        client.socket.resume();
        await client.gone;
        await flow("/endless").waitFor({state: "detached"});
        const ended = page.locator(".ended tbody tr", {hasText: "/endless"});
        await ended.waitFor();
        assert.match(await ended.textContent(), /aborted by hand/);
        assert.match(await ended.textContent(), /0 B ✓/);
    });

    test("tells an upstream that has stopped sending", async () => {
        const client = await askAndStop(port, "/silent");
        await culprit("/silent").waitFor();
        assert.match(await culprit("/silent").locator(".stage-words").textContent(), /^sends nothing: \d/);
        assert.match(await page.locator("#headline").textContent(), /^The upstream 127\.0\.0\.1:\d+ has sent nothing for \d/);
        client.socket.destroy();
        await flow("/silent").waitFor({state: "detached"});
        await page.locator(".ended tbody tr", {hasText: "/silent"}).getByText(/client/).first().waitFor();
        await page.locator("#headline", {hasText: "Nothing is under way."}).waitFor();
        assert.match(await page.locator("#left").textContent(), /left nothing behind/);
    });
});
