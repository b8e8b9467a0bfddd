// Makes the pictures in docs/: node dashboard/test/screenshots.mjs [SECONDS]. The chart shows that many seconds (default 290).

import path from "node:path";
import {fileURLToPath} from "node:url";
import {browser as launch, fakeGateway, open} from "./browser.mjs";

const docs = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../docs");
const seconds = Number(process.argv[2] ?? 290);
const wait = s => new Promise(resolve => setTimeout(resolve, s * 1000));

const [browser, gateway] = [await launch(), await fakeGateway("--scenario", "calm")];
const pages = {};
for (const scheme of ["dark", "light"])
    pages[scheme] = await open(browser, gateway.url, {viewport: {width: 1280, height: 800}, colorScheme: scheme});

for (const [share, scenario] of [[0.2, "calm"], [0.15, "slow_database"], [0.1, "calm"], [0.2, "stalled_client"], [0.1, "slow_compressor"], [0.15, "calm"]]) {
    await gateway.play(scenario);
    await wait(share * seconds);
}
await gateway.play("everything");
await wait(0.1 * seconds);
for (const [scheme, page] of Object.entries(pages)) await page.screenshot({path: path.join(docs, `page-${scheme}.png`)});
const light = pages.light;
await light.keyboard.press("ArrowDown");
await light.getByRole("button", {name: "reports", exact: true}).click();
await light.locator('[data-flow="w0-201"]').getByRole("button", {name: "Details"}).click();
await light.locator('[data-flow="w0-201"] .transitions').waitFor();
await light.locator('[data-flow="w0-201"]').screenshot({path: path.join(docs, "page-flow.png")});
await browser.close();
await gateway.stop();
