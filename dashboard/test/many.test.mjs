// The page of a real gateway with ten thousand flows: how long it occupies the browser, and how often it asks.

import assert from "node:assert/strict";
import {spawnSync} from "node:child_process";
import net from "node:net";
import {after, before, describe, test} from "node:test";
import {browser as launch, open} from "./browser.mjs";
import {realGateway, startOrigin} from "./peers.mjs";

const ROUTES = 12, ACTIVE_PER_WORKER = 300; // the others wait for a connection: fewer descriptors
const TASK_MS = 200; // of processor time that a task of the page may take

const configuration = origin => (folder, port) => `
server: {workers: 2, connections_max: 20000, access_log: {enabled: false}}
listeners: [{name: web, address: "127.0.0.1:${port}", header_timeout: 10m}]
upstreams: {site: {endpoints: ["${origin.endpoint}"], connections_max: ${ACTIVE_PER_WORKER}, queue_max: 20000, queue_timeout: 10m}}
routes: [${Array.from({length: ROUTES}, (_, i) => `{name: site-${i}, match: {path_prefix: /${i}/}, proxy: {upstream: site, first_byte_timeout: 10m}}`).join(", ")}]
`;

// As many as the limit on descriptors allows, which clients and origin share here.
const descriptors = Number(spawnSync("sh", ["-c", "ulimit -Hn"], {encoding: "utf8"}).stdout) || 1e6;
const count = Math.min(10_000, descriptors - 4 * ACTIVE_PER_WORKER - 200);
const shownCount = count.toLocaleString("en-US").replace(",", "\u202f");

// The longest task of the page's main thread, in milliseconds of processor time.
function longestTask(trace) {
    const {traceEvents} = JSON.parse(trace.toString());
    const main = new Set(traceEvents.filter(e => e.name === "thread_name" && e.args.name === "CrRendererMain").map(e => `${e.pid} ${e.tid}`));
    const tasks = traceEvents.filter(e => e.ph === "X" && e.name.endsWith("RunTask") && main.has(`${e.pid} ${e.tid}`) && e.tdur != null);
    assert.ok(tasks.length > 100, `${tasks.length} tasks were traced`);
    return Math.max(...tasks.map(e => e.tdur)) / 1000;
}

describe("the page with ten thousand flows", {skip: count < 1000 && `only ${descriptors} descriptors`}, () => {
    let browser, origin, gateway, page;
    const clients = [];

    before(async () => {
        [browser, origin] = await Promise.all([launch(), startOrigin()]);
        gateway = await realGateway(configuration(origin));
        page = await open(browser, gateway.url);
        for (let i = 0; i < count; i++) {
            const socket = net.connect({port: gateway.port, host: "127.0.0.1", localAddress: `127.0.0.${2 + i % 250}`});
            socket.on("error", () => {});
            clients.push(socket);
            await new Promise(resolve => socket.write(`GET /${i % ROUTES}/${i}/${i % 3 ? "silent" : "endless"} HTTP/1.1\r\nHost: here\r\n\r\n`, resolve));
            socket.pause();
        }
    });
    after(async () => {
        const complaints = page?.complaints;
        await browser?.close();
        for (const socket of clients) socket.destroy();
        await gateway?.stop();
        origin?.stop();
        assert.deepEqual(complaints, [], "the console is silent");
    });

    const events = number => page.evaluate(number => new Promise(resolve => {
        let seen = 0;
        new PerformanceObserver((list, observer) => {
            seen += list.getEntriesByName("arrived").filter(mark => mark.detail.name === "flows").length;
            if (seen >= number) resolve(observer.disconnect());
        }).observe({entryTypes: ["mark"]});
    }), number);

    test("shows all of them by their routes", async () => {
        await page.locator("#flow-count", {hasText: shownCount}).waitFor();
        await page.locator("#shown", {hasText: `25 of ${shownCount} flows`}).waitFor();
        assert.equal(await page.locator(".flow").count(), 25);
        assert.equal(await page.locator(".routes tbody tr").count(), ROUTES);
        const sum = await page.locator(".routes tbody tr td:nth-child(3)").evaluateAll(all => all.map(e => +e.textContent.replace(/\D/g, "")).reduce((a, b) => a + b));
        assert.equal(sum, count);
        assert.match(await page.locator("#headline").textContent(), /has (taken|sent) nothing for/);
    });

    test("occupies the browser for a short time only, and asks once for what it shows", async t => {
        const asked = [];
        page.on("request", request => asked.push(request.url()));
        await browser.startTracing(page, {categories: ["toplevel", "__metadata"]});
        await events(3);
        assert.deepEqual(asked, [], "the stream of events has it all");
        await page.getByRole("searchbox", {name: "Search"}).pressSequentially("127.0.0.77");
        await page.locator("#shown", {hasText: /that fit/}).waitFor();
        await page.getByRole("searchbox", {name: "Search"}).fill("");
        await page.getByRole("button", {name: "site-3", exact: true}).click();
        await page.locator("#shown", {hasText: /^25 of \S+ flows that fit/}).waitFor();
        await page.getByRole("button", {name: /^Route site-3: show all/}).click();
        await page.locator("#shown", {hasText: `25 of ${shownCount} flows`}).waitFor();
        const usual = longestTask(await browser.stopTracing());
        await browser.startTracing(page, {categories: ["toplevel", "__metadata"]});
        await page.getByRole("combobox", {name: "Show"}).selectOption("500");
        await page.waitForFunction(() => document.querySelectorAll(".flow").length === 500);
        await events(3);
        const most = longestTask(await browser.stopTracing());
        t.diagnostic(`longest tasks: ${usual.toFixed(0)} ms with 25 of ${count} flows shown, ${most.toFixed(0)} ms with 500`);
        assert.ok(usual < TASK_MS && most < TASK_MS);
        // Two for each change of what is shown: the stream of events, and the flows that have ended. pressSequentially is one or some changes.
        assert.ok(asked.length <= 2 * (10 + 4), asked.join("\n"));
    });
});
