// The page in a real browser, before a gateway that plays scenarios.

import assert from "node:assert/strict";
import {after, afterEach, before, beforeEach, describe, test} from "node:test";
import {axe, browser as launch, fakeGateway, open} from "./browser.mjs";

describe("the page", () => {
    let browser, gateway, page;

    before(async () => {
        [browser, gateway] = await Promise.all([launch(), fakeGateway("--scenario", "calm")]);
        page = await open(browser, gateway.url);
    });
    after(async () => {
        await browser?.close();
        await gateway?.stop();
    });
    beforeEach(async () => { // as if it were a page of its own, which takes longer
        await gateway.play("calm");
        await page.evaluate(() => localStorage.clear());
        await page.emulateMedia({colorScheme: "dark"});
        await page.reload();
        await page.locator("#headline", {hasText: "Everything flows."}).waitFor();
    });
    afterEach(() => assert.deepEqual(page.complaints.splice(0), [], "the console is silent"));

    const flow = id => page.locator(`[data-flow="${id}"]`);
    const headline = () => page.locator("#headline").textContent();

    test("shows what flows, and goes on showing it", async () => {
        assert.equal(await headline(), "Everything flows.");
        assert.equal(await page.locator("#flow-count").textContent(), "9");
        assert.equal(await page.locator(".flow").count(), 9);
        const moved = flow("w0-100").locator(".costs li").last();
        const first = await moved.textContent();
        await page.waitForFunction(([id, text]) => document.querySelector(`[data-flow="${id}"] .costs li:last-child`).textContent !== text, ["w0-100", first]);
        assert.equal(await page.locator("#link").textContent(), "live");
        assert.equal(await page.locator("#left").textContent(), "the last 12 left nothing behind");
    });

    // Each scenario turns the right stage red, and says so in words.
    for (const [scenario, id, index, level, said, sentence] of [
        ["stalled_client", "w0-201", 4, "stalled", /^takes nothing: \d/, /^The client 192\.0\.2\.77 has taken nothing for \d/],
        ["stalled_upstream", "w1-211", 0, "stalled", /^sends nothing: \d/, /^The upstream 10\.0\.0\.12:9000 has sent nothing for \d/],
        ["slow_database", "w1-231", 0, "stalled", /^gives no rows: \d/, /^The database warehouse has given no rows for \d/],
        ["slow_compressor", "w0-221", 2, "slow", /^slow: 93 % of the time/, /^Everything flows/],
    ]) {
        test(`tells a ${scenario.replace("_", " ")}`, async () => {
            await gateway.play(scenario);
            const culprit = flow(id).locator(".stage.culprit");
            await culprit.waitFor();
            assert.equal(await culprit.count(), 1);
            assert.match(await culprit.getAttribute("class"), new RegExp(`\\b${level}\\b`));
            assert.equal(await flow(id).locator(".stage").nth(index).evaluate((e, c) => e === c, await culprit.elementHandle()), true);
            assert.match(await culprit.locator(".stage-words").textContent(), said);
            assert.match(await headline(), sentence);
            const [red, green, blue] = (await culprit.locator(".vessel").evaluate(e => getComputedStyle(e).borderBottomColor)).match(/\d+/g).map(Number);
            assert.ok(red > 2 * green && red > 2 * blue, `the vessel's colour is ${red},${green},${blue}`);
        });
    }

    test("says what a stalled client costs", async () => {
        await gateway.play("stalled_client");
        const costs = flow("w0-201").locator(".costs");
        await costs.waitFor();
        assert.match(await costs.textContent(), /holds 41\.1 MiB of 64\.4 MiB/);
        assert.match(await costs.textContent(), /database connection given back after 0\.4 s/);
        assert.equal(await flow("w0-201").locator(".stage").nth(0).locator(".stage-words").textContent(), "given back after 0.4 s");
        const fill = await flow("w0-201").locator(".stage").nth(3).locator(".liquid").evaluate(e => e.style.transform);
        assert.equal(fill, "scaleY(0.641)");
    });

    test("aborts a flow, and asks once", async () => {
        await gateway.play("stalled_client");
        await flow("w0-201").getByRole("button", {name: /^Abort/}).click();
        await flow("w0-201").getByRole("button", {name: "No"}).click();
        assert.equal(await flow("w0-201").count(), 1);
        await flow("w0-201").getByRole("button", {name: /^Abort/}).click();
        await flow("w0-201").getByRole("button", {name: "Yes, abort"}).click();
        await flow("w0-201").waitFor({state: "detached"});
        const first = page.locator(".ended tbody tr").first();
        await first.getByText("aborted by hand").waitFor();
        assert.match(await first.textContent(), /sales-2026\.csv\.gz/);
        assert.match(await first.textContent(), /0 B ✓/);
        assert.match(await page.locator("#announcer").textContent(), /w0-201 was aborted/);
    });

    test("finds flows by text and by route, and sorts them", async () => {
        await gateway.play("everything");
        await flow("w0-201").waitFor();
        await page.getByRole("searchbox", {name: "Search"}).fill("192.0.2.91");
        await page.locator("#shown", {hasText: "1 of 1 flow that fits"}).waitFor();
        assert.equal(await page.locator(".flow").count(), 1);
        await page.getByRole("searchbox", {name: "Search"}).fill("nobody is called that");
        await page.getByText("No flow fits.").waitFor();
        await page.getByRole("searchbox", {name: "Search"}).fill("");
        await page.getByRole("button", {name: "reports", exact: true}).click();
        await page.locator("#shown", {hasText: "3 of 3 flows that fit"}).waitFor();
        await page.getByRole("button", {name: /^Route reports: show all/}).click();
        await page.locator("#shown", {hasText: "14 of 14 flows"}).waitFor();
        await page.getByRole("combobox", {name: "First"}).selectOption("held");
        await page.waitForFunction(() => document.querySelector("[data-flow]")?.dataset.flow === "w0-201");
    });

    test("is used with the keyboard alone", async () => {
        await gateway.play("stalled_client");
        await flow("w0-201").waitFor();
        const focused = () => page.evaluate(() => document.activeElement.dataset?.flow ?? document.activeElement.id ?? document.activeElement.textContent);
        await page.keyboard.press("ArrowDown");
        assert.equal(await focused(), "w0-201");
        await page.keyboard.press("ArrowDown");
        assert.notEqual(await focused(), "w0-201");
        await page.keyboard.press("ArrowUp");
        await page.keyboard.press("Enter");
        await flow("w0-201").locator(".transitions").waitFor();
        assert.match(await flow("w0-201").locator(".transitions").textContent(), /connect at 1 ms/);
        await page.keyboard.press("Escape");
        await flow("w0-201").locator(".details").waitFor({state: "detached"});
        await page.keyboard.press("/");
        assert.equal(await focused(), "search");
        await page.keyboard.press("Escape");
        await page.keyboard.press("ArrowDown");
        await page.keyboard.press("x");
        await flow("w0-201").getByText("End it now?").waitFor();
        await page.waitForFunction(() => document.activeElement.textContent === "Yes, abort");
        await page.keyboard.press("Escape");
        await flow("w0-201").getByText("End it now?").waitFor({state: "detached"});
        assert.equal(await focused(), "w0-201");
        await page.keyboard.press("x");
        await page.waitForFunction(() => document.activeElement.textContent === "Yes, abort");
        await page.keyboard.press("Enter");
        await flow("w0-201").waitFor({state: "detached"});
        await page.keyboard.press("?");
        await page.getByRole("dialog", {name: "Keys"}).waitFor();
        await page.keyboard.press("Escape");
        await page.getByRole("dialog", {name: "Keys"}).waitFor({state: "hidden"});
    });

    test("is walked through with Tab, in the order in which it is read, and shows where one is", async () => {
        await gateway.play("stalled_client");
        await flow("w0-201").waitFor();
        await page.keyboard.press("p"); // so that all stay in their places
        await page.locator("#link", {hasText: "paused"}).waitFor();
        const walked = [];
        for (;;) {
            await page.keyboard.press("Tab");
            const at = await page.evaluate(() => {
                const e = document.activeElement;
                if (e === document.body) return null;
                const {top, bottom} = e.getBoundingClientRect(), style = getComputedStyle(e);
                return {name: e.dataset.flow ?? e.getAttribute("aria-label") ?? (e.id || e.textContent), outlined: style.outlineStyle !== "none",
                        inView: bottom > 0 && top < innerHeight};
            });
            if (!at || walked.length > 200) break;
            assert.ok(at.outlined && at.inView, `${at.name} does not show that it has the focus`);
            walked.push(at.name);
        }
        assert.deepEqual(walked.slice(0, 9), ["Skip to the live flows", "pause", "theme", "help", "Show it", "search", "sort", "limit", "w0-201"]);
        assert.equal(walked[10], "Abort GET /reports/sales-2026.csv.gz of 192.0.2.77");
        const places = ["reports", "left behind", "Drain 10.0.0.11:9000", "Ended flows, newest first"].map(name => walked.indexOf(name));
        assert.deepEqual(places, [...places].sort((a, b) => a - b));
        assert.ok(places[0] > 10 && places[3] === walked.length - 1, walked.join("; "));
        await page.keyboard.press("Tab"); // round to the beginning
        assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the live flows");
        await page.keyboard.press("Enter");
        assert.equal(await page.evaluate(() => location.hash), "#flows-title");
    });

    test("is dark or light, as the system or the switch says", async () => {
        const brightness = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number).reduce((a, b) => a + b));
        assert.ok(await brightness() < 150);
        await page.emulateMedia({colorScheme: "light"});
        assert.ok(await brightness() > 600);
        await page.getByRole("button", {name: "Dark"}).click();
        assert.ok(await brightness() < 150);
        await page.reload();
        await page.locator("#headline").waitFor();
        assert.ok(await brightness() < 150, "the choice is kept");
    });

    test("pauses", async () => {
        await page.keyboard.press("p");
        await page.locator("#link", {hasText: "paused"}).waitFor();
        await gateway.play("stalled_client");
        await page.locator(".ended tbody tr").first().waitFor();
        assert.equal(await headline(), "Everything flows.");
        await page.keyboard.press("p");
        await flow("w0-201").waitFor();
    });

    test("everything has a name", async () => {
        await gateway.play("everything");
        await flow("w0-201").waitFor();
        const nameless = await page.evaluate(() => [...document.querySelectorAll("button, input, select, a, [role=img], [role=meter], [role=feed], article, section, dialog")]
            .filter(e => !(e.getAttribute("aria-label") || e.textContent.trim() || e.closest("label") || document.getElementById(e.getAttribute("aria-labelledby"))))
            .map(e => e.outerHTML));
        assert.deepEqual(nameless, []);
        for (const name of ["Live flows", "Routes: whom their flows wait for", "Budgets", "Databases", "Upstreams", "Ended flows"])
            assert.equal(await page.getByRole("heading", {name, exact: true}).count(), 1, name);
        assert.equal(await page.getByRole("feed", {name: "Live flows"}).count(), 1);
        await page.getByRole("article", {name: /^waits for the client: .* GET \/reports\/sales-2026\.csv\.gz$/}).waitFor();
        assert.equal(await page.getByRole("meter", {name: "Descriptors"}).getAttribute("aria-valuetext"), "85 of 65\u202f536");
    });

    test("axe finds nothing to mend, dark or light, with all that opens", async () => {
        await gateway.play("everything");
        await flow("w0-201").getByRole("button", {name: "Details"}).click();
        await flow("w0-201").locator(".transitions").waitFor();
        await flow("w1-202").getByRole("button", {name: /^Abort/}).click();
        await page.getByRole("button", {name: "Drain 10.0.0.11:9000"}).click();
        await page.getByText("Send it nothing new?").waitFor();
        await page.evaluate(axe);
        const both = async where => {
            for (const colorScheme of ["dark", "light"]) {
                await page.emulateMedia({colorScheme});
                await page.waitForFunction(text => document.getElementById("theme").textContent === text, colorScheme === "dark" ? "Light" : "Dark");
                const {passes, violations} = await page.evaluate(where => window.axe.run(where ?? document), where);
                assert.deepEqual(violations.map(v => `${v.id}: ${v.nodes.map(n => n.html.slice(0, 200)).join("; ")}`), [], `${where ?? "page"}, ${colorScheme}`);
                assert.ok(passes.some(rule => rule.id === "color-contrast"));
            }
        };
        await both(null);
        await page.keyboard.press("Escape");
        await page.keyboard.press("Escape");
        await page.getByRole("button", {name: "Keys"}).click();
        await page.getByRole("dialog", {name: "Keys"}).waitFor();
        await both("#keys");
    });

    test("says when the gateway is gone, and goes on when it is back", async () => {
        await gateway.drop();
        await page.locator("#link", {hasText: "no connection"}).waitFor();
        await page.locator("#link", {hasText: "live"}).waitFor();
        page.complaints.length = 0; // the browser tells of each attempt
    });

    test("asks for a token where one is wanted", async () => {
        const closed = await fakeGateway("--scenario", "calm", "--token", "opens the gate");
        const context = await browser.newContext();
        const locked = await context.newPage();
        await locked.goto(closed.url);
        await locked.getByLabel("admin token").fill("opens the gate");
        await locked.keyboard.press("Enter");
        await locked.locator("#headline", {hasText: "Everything flows."}).waitFor();
        await context.close();
        await closed.stop();
    });
});
