// The page of a real gateway: each of the four whose fault it can be turns the right vessel red.

import assert from "node:assert/strict";
import {once} from "node:events";
import fs from "node:fs/promises";
import path from "node:path";
import {after, afterEach, before, describe, test} from "node:test";
import {setTimeout as sleep} from "node:timers/promises";
import {fileURLToPath} from "node:url";
import {browser as launch, open} from "./browser.mjs";
import {client as connect, ENDLESS_QUERY, makeDatabase, realGateway, startOrigin} from "./peers.mjs";

const STALLED_MS = 500; // what the gateway calls stalled (stalled_after_ms)

const configuration = (origin, other) => (folder, port) => {
    makeDatabase(path.join(folder, "shop.db"));
    return `
server: {workers: 2}
listeners: [{name: web, address: "127.0.0.1:${port}"}]
sources: {shop: {sqlite: "${folder}/shop.db"}}
upstreams: {files: {endpoints: ["${origin.endpoint}"]}, pair: {endpoints: ["${origin.endpoint}", "${other.endpoint}"]}}
routes:
  - {name: downloads, proxy: {upstream: files}}
  - {name: texts, match: {path: /text}, proxy: {upstream: files, compression: {algorithms: [gzip], level: 9}}}
  - {name: pair, match: {path_prefix: /pair/}, proxy: {upstream: pair}}
  - {name: rows, match: {path: /rows.csv}, export: {source: shop, query: "${ENDLESS_QUERY}"}}
`;
};

// Notes in the page when each event was sent, and which was the last when a vessel of a flow became red.
function watch() {
    window.sent = [];
    window.red = {};
    new PerformanceObserver(list => {
        for (const mark of list.getEntriesByName("arrived")) if (mark.detail.name === "flows") window.sent.push(Date.parse(mark.detail.time));
    }).observe({entryTypes: ["mark"]});
    new MutationObserver(() => {
        const shown = Date.parse(performance.getEntriesByName("arrived").at(-1)?.detail.time);
        for (const flow of document.querySelectorAll(".flow:has(.stage.culprit)"))
            window.red[flow.querySelector(".target").textContent] ??= {shown, said: flow.querySelector(".stage.culprit .stage-words").textContent};
    }).observe(document, {childList: true, subtree: true, attributes: true});
}

describe("the page of a real gateway", () => {
    let browser, origin, other, gateway, page;

    before(async () => {
        [browser, origin, other] = await Promise.all([launch(), startOrigin(), startOrigin()]);
        gateway = await realGateway(configuration(origin, other));
        page = await open(browser, gateway.url, {}, [/Content Security Policy/]);
        await page.evaluate(watch);
    });
    after(async () => {
        const complaints = page?.complaints;
        await browser?.close();
        await gateway?.stop();
        origin?.stop();
        other?.stop();
        assert.deepEqual(complaints, [], "the console is silent");
    });

    const clients = [];
    const client = async (...how) => {
        clients.push(await connect(...how));
        return clients.at(-1);
    };
    afterEach(() => { for (const {socket} of clients.splice(0)) socket.destroy(); });

    const flow = target => page.locator(".flow", {hasText: target});
    const culprit = target => flow(target).locator(".stage.culprit");

    // The vessel at `index` is the only red one, with these words; it became so with the first event that could tell.
    async function blames(target, index, level, said) {
        await flow(target).locator(`.stage.culprit.${level}:nth-child(${2 * index + 1})`).waitFor(); // a pipe is between two
        assert.deepEqual(await flow(target).locator(".stage").evaluateAll(all => all.map((s, i) => s.matches(".culprit") ? i : -1).filter(i => i >= 0)), [index]);
        assert.match(await culprit(target).locator(".stage-words").textContent(), said);
        if (level === "stalled") // the pipe beside it, which a browser once left green
            assert.equal(await flow(target).locator(".pipe.broken .line").first().evaluate(e => getComputedStyle(e).borderTopStyle), "dotted");
        const [red, green, blue] = (await culprit(target).locator(".vessel").evaluate(e => getComputedStyle(e).borderBottomColor)).match(/\d+/g).map(Number);
        assert.ok(red > 2 * green && red > 2 * blue, `the vessel's colour is ${red},${green},${blue}`);
    }

    // By the gateway's clock: what it said when the vessel became red, and how long before that it had told of the flow last.
    async function inTime(target) {
        const {said, shown, before} = await page.evaluate(target => {
            const {said, shown} = window.red[`GET ${target}`];
            return {said, shown, before: Math.max(...window.sent.filter(at => at < shown))};
        }, target);
        const stalled = 1000 * /: (\d+(\.\d)?) s$/.exec(said)[1];
        assert.ok(stalled - (shown - before) < STALLED_MS + 100, `red after ${stalled} ms, and ${shown - before} ms after the event before`);
    }

    // The client's connection ends, or gets an answer if it had none.
    async function abort(target, {gone, socket}, answer = null) {
        await flow(target).getByRole("button", {name: /^Abort/}).click();
        await flow(target).getByRole("button", {name: "Yes, abort"}).click();
        socket.resume();
        if (!answer) await gone;
        else assert.match(String((await once(socket, "data"))[0]), answer);
        socket.destroy();
        await flow(target).waitFor({state: "detached"});
        const ended = page.locator(".ended tbody tr", {hasText: target});
        await ended.waitFor();
        assert.match(await ended.textContent(), /aborted by hand/);
        assert.match(await ended.textContent(), /0 B ✓/);
    }

    test("shows a gateway at rest", async () => {
        assert.equal(await page.locator("#headline").textContent(), "Nothing is under way.");
        assert.equal(await page.locator(".upstreams li.fine").count(), 3);
    });

    test("tells a client that has stopped reading, and aborts its flow", async () => {
        const stopped = await client(gateway.port, "/endless");
        await blames("/endless", 1, "stalled", /^takes nothing: \d/);
        await inTime("/endless");
        assert.match(await culprit("/endless").textContent(), /client 127\.0\.0\.1/);
        assert.match(await page.locator("#headline").textContent(), /^The client 127\.0\.0\.1 has taken nothing for \d/);
        assert.match(await flow("/endless").locator(".costs").textContent(), /keeps an upstream connection for \d/);
        await flow("/endless").getByRole("button", {name: "Details"}).click();
        await flow("/endless").locator(".transitions").waitFor();
        await abort("/endless", stopped);
    });

    test("tells an upstream that has stopped sending", async () => {
        const waiting = await client(gateway.port, "/silent");
        await blames("/silent", 0, "stalled", /^sends nothing: \d/);
        await inTime("/silent");
        assert.match(await page.locator("#headline").textContent(), /^The upstream 127\.0\.0\.1:\d+ has sent nothing for \d/);
        await abort("/silent", waiting);
    });

    test("tells a database that gives no rows", async () => {
        const waiting = await client(gateway.port, "/rows.csv", {answered: false});
        await blames("/rows.csv", 0, "stalled", /^gives no rows: \d/);
        await inTime("/rows.csv");
        assert.match(await page.locator("#headline").textContent(), /^The database shop has given no rows for \d/);
        assert.match(await flow("/rows.csv").locator(".costs").textContent(), /keeps a database connection for \d/);
        await page.locator(".databases .busy").waitFor();
        await abort("/rows.csv", waiting, /^HTTP\/1.1 503 /);
        await page.locator(".databases .busy").waitFor({state: "detached"});
    });

    test("tells a compressor that sets the pace", async () => {
        const reading = await client(gateway.port, "/text", {rate: Infinity, headers: "Accept-Encoding: gzip\r\n"});
        await blames("/text", 1, "slow", /^slow: \d+ % of the time$/);
        assert.match(await culprit("/text").locator(".stage-name").textContent(), /gzip/);
        assert.match(await flow("/text").locator(".badge").textContent(), /^slowed by the stage gzip: \d+ % of the time$/);
        assert.match(await page.locator("#headline").textContent(), /^Everything flows/);
        await abort("/text", reading);
    });

    test("shows who has not sent a head yet, which belongs to no route", async () => {
        await Promise.all(["/silent", "/silent"].map(target => client(gateway.port, target)));
        await Promise.all([1, 2].map(() => client(gateway.port, "/unfinished", {headers: "Unfinished: ", answered: false})));
        await page.locator(".routes tbody tr", {hasText: "none yet"}).locator("td:nth-child(3)", {hasText: /^2$/}).waitFor();
        await page.locator(".flow", {hasText: "no route yet"}).first().waitFor();
    });

    test("drains an endpoint and takes it back, with the keyboard alone", async () => {
        const upstream = page.locator(".upstream", {hasText: "pair"}), endpoint = upstream.locator("li", {hasText: other.endpoint});
        const draining = async () => (await gateway.ask("upstreams")).upstreams.find(u => u.name === "pair").endpoints.filter(e => e.draining).map(e => e.address);
        while (origin.busy) await sleep(10); // with what went before
        const held = [];
        while (!origin.busy || !other.busy) held.push(await client(gateway.port, "/pair/silent")); // the gateway chooses
        const [here, there] = [origin.busy, other.busy];
        await endpoint.getByText(`well, ${there} in use`).waitFor();

        await endpoint.getByRole("button", {name: `Drain ${other.endpoint}`}).focus();
        await page.keyboard.press("Enter");
        await endpoint.getByText("Send it nothing new?").waitFor();
        await page.waitForFunction(() => document.activeElement.textContent === "Yes, drain");
        await page.keyboard.press("Escape");
        await endpoint.getByText("Send it nothing new?").waitFor({state: "detached"});
        assert.equal(await page.evaluate(() => document.activeElement.textContent), "Drain");
        assert.deepEqual(await draining(), []);
        await page.keyboard.press("Enter");
        await page.waitForFunction(() => document.activeElement.textContent === "Yes, drain");
        await page.keyboard.press("Enter");
        await endpoint.getByText(`drains, gets nothing new: ${there} connection${there > 1 ? "s" : ""} left`).waitFor();
        assert.deepEqual(await draining(), [other.endpoint]);
        await page.waitForFunction(() => document.activeElement.textContent === "Take back");
        for (let i = 0; i < 4; i++) held.push(await client(gateway.port, "/pair/silent"));
        assert.deepEqual([origin.busy, other.busy], [here + 4, there]);

        const last = upstream.locator("li", {hasText: origin.endpoint});
        await last.getByRole("button", {name: `Drain ${origin.endpoint}`}).click();
        await last.getByText("It is the last").waitFor();
        await last.getByRole("button", {name: "No"}).click();
        for (const {socket} of held) socket.destroy();
        await endpoint.getByText("drains, gets nothing new: empty, it can be stopped").waitFor();
        await endpoint.getByRole("button", {name: `Take back ${other.endpoint}`}).focus();
        await page.keyboard.press("Enter");
        await endpoint.getByText("well, 0 in use").waitFor();
        assert.deepEqual(await draining(), []);
    });

    test("is small, kept by the browser as long as it is the same, and let do nothing but ask its own server", async () => {
        const folder = fileURLToPath(new URL("..", import.meta.url));
        const files = (await fs.readdir(folder, {recursive: true})).filter(f => /^(vendor\/)?[^/]+\.(html|m?js|css|svg)$/.test(f));
        assert.ok(files.length >= 13, files.join(" "));
        let size = 0;
        for (const file of files) {
            const answer = await fetch(gateway.url + file), {headers} = answer, body = Buffer.from(await answer.arrayBuffer());
            assert.deepEqual(body, await fs.readFile(path.join(folder, file)), `${file}: build the gateway anew`);
            assert.match(headers.get("content-type"), {html: /^text\/html/, js: /^text\/javascript/, mjs: /^text\/javascript/, css: /^text\/css/, svg: /^image\/svg/}[file.split(".").pop()]);
            assert.deepEqual([headers.get("cache-control"), headers.get("x-content-type-options")], ["no-cache", "nosniff"]);
            assert.match(headers.get("content-security-policy"), /^default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/);
            const again = await fetch(gateway.url + file, {headers: {"If-None-Match": headers.get("etag")}});
            assert.deepEqual([again.status, (await again.arrayBuffer()).byteLength], [304, 0]);
            size += body.length;
        }
        assert.ok(size < 192 * 1024, `${size} bytes in all`);
        const {violated, ran} = await page.evaluate(elsewhere => new Promise(resolve => {
            const violated = [];
            document.addEventListener("securitypolicyviolation", e => {
                violated.push(e.effectiveDirective);
                if (violated.length === 2) resolve({violated, ran: window.ran === true});
            });
            document.body.append(Object.assign(document.createElement("script"), {textContent: "window.ran = true"}));
            fetch(elsewhere).catch(() => {});
        }), `http://${origin.endpoint}/`);
        assert.deepEqual([violated.sort(), ran], [["connect-src", "script-src-elem"], false]);
    });

    test("shows a gateway at rest again, and nothing left behind", async () => {
        await page.locator("#headline", {hasText: "Nothing is under way."}).waitFor();
        assert.match(await page.locator("#left").textContent(), /left nothing behind/);
    });
});
