// Makes the pictures in docs/, of a real gateway with real clients: node dashboard/test/screenshots.mjs [SECONDS]. HEADGATE_BIN names the
// gateway's program. The chart shows that many seconds (default 100).

import path from "node:path";
import {setTimeout as sleep} from "node:timers/promises";
import {fileURLToPath} from "node:url";
import {browser as launch, open} from "./browser.mjs";
import {client, makeDatabase, realGateway, startOrigin} from "./peers.mjs";

const docs = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../docs");
const seconds = Number(process.argv[2] ?? 100);

const ORDERS = `
create table orders (id integer primary key, day text, region text, item text, total numeric);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 400000)
insert into orders select i, date('2026-01-01', (i / 1100) || ' days'), case i * 7919 % 4 when 0 then 'north' when 1 then 'south' when 2 then 'east' else 'west' end,
    hex(randomblob(12)), (i * 31 % 997) * 0.25 from n;`;
const STOCK = "with recursive n(i) as (select 1 union all select i + 1 from n) select i as id, i % 7 as pieces from n where i < 20000"; // then it goes on searching

const configuration = origins => (folder, port) => {
    makeDatabase(path.join(folder, "shop.db"), ORDERS);
    const [api, spare, images] = origins.map(o => `"${o.endpoint}"`);
    return `
server: {workers: 2, memory_limit: 64MiB, spool: {directory: "${folder}", disk_limit: 1GiB}, access_log: {enabled: false}}
listeners: [{name: web, address: "127.0.0.1:${port}"}]
sources: {shop: {sqlite: "${folder}/shop.db", pool_size: 4}, warehouse: {sqlite: "${folder}/shop.db", pool_size: 2}}
upstreams: {api: {endpoints: [${api}, ${spare}]}, images: {endpoints: [${images}]}}
routes:
  - {name: api, match: {path_prefix: /v1/}, proxy: {upstream: api, first_byte_timeout: 2s}}
  - {name: texts, match: {path_prefix: /texts/}, proxy: {upstream: api, compression: {algorithms: [zstd], level: 9}}}
  - {name: downloads, match: {path_prefix: /images/}, proxy: {upstream: images}}
  - {name: reports, match: {path_prefix: /reports/}, export: {source: shop, query: "select * from orders", filename: sales, spool_disk: 64MiB}}
  - {name: invoices, match: {path_prefix: /invoices/}, export: {source: shop, query: "select * from orders where id % 100 = 7", filename: invoices}}
  - {name: stock, match: {path_prefix: /stock/}, export: {source: warehouse, query: "${STOCK}"}}
`;
};

const crowded = origins => (folder, port) => `
server: {workers: 2, access_log: {enabled: false}}
listeners: [{name: web, address: "127.0.0.1:${port}"}]
upstreams: {${origins.map((o, i) => `site-${i}: {endpoints: ["${o.endpoint}"]}`).join(", ")}}
routes: [${Array.from({length: 12}, (_, i) => `{name: site-${i + 1}, match: {path_prefix: /${i}/}, proxy: {upstream: site-${i % origins.length}}}`).join(", ")}]
`;

const [browser, ...origins] = await Promise.all([launch(), startOrigin(), startOrigin(), startOrigin()]);
const view = colorScheme => ({viewport: {width: 1440, height: 1320}, colorScheme});
const shoot = (page, name) => page.screenshot({path: path.join(docs, `${name}.png`)});

// ---- some flows, of which some are slow ------------------------------------------------------------------------------

let gateway = await realGateway(configuration(origins));
const pages = {dark: await open(browser, gateway.url, view("dark")), light: await open(browser, gateway.url, view("light"))};
const {port} = gateway;
const eager = {rate: Infinity}, from = n => `127.0.0.${n}`;

// Requests that come and go: most are answered at once; some are left, or not answered in time.
let coming = 0;
const traffic = setInterval(async () => {
    const n = coming++;
    const target = [`/v1/orders/${4100 + n}?size=${n * 7919 % 9000 + 100}`, `/images/photo-${n}.png?size=${n * 104729 % 900_000 + 9000}`,
                    n % 2 ? `/invoices/${n}.csv` : `/v1/orders?size=20000`, `/v1/orders/${4100 + n}?size=800`,
                    n % 4 ? `/images/photo-${n}.png?size=200000` : "/v1/stock/never"][n % 5];
    const {socket, gone} = await client(port, target, {rate: n % 3 ? Infinity : 400_000, from: from(20 + n % 30), headers: "Connection: close\r\n", answered: false});
    if (n % 11 !== 3) return;
    await Promise.race([gone, sleep(80)]);
    socket.resetAndDestroy();
}, 250);

const steady = [];
for (let i = 0; i < 3; i++) steady.push(await client(port, `/images/film-${i}.mkv?rate=${(i + 1) * 400_000}`, {...eager, from: from(50 + i)}));
steady.push(await client(port, "/v1/live/drip", {...eager, from: from(61)}));

const during = async (share, ...flows) => {
    const all = await Promise.all(flows.map(([target, how]) => client(port, target, how)));
    await sleep(share * seconds * 1000);
    for (const {socket} of all) socket.destroy();
};
await sleep(0.1 * seconds * 1000);
await during(0.12, ["/v1/search/silent?q=shoes", {from: from(71)}], ["/v1/search/silent?q=socks", {from: from(72)}]);
await sleep(0.08 * seconds * 1000);
await during(0.15, ["/images/backup.tar", {from: from(73)}], ["/images/debian.iso", {from: from(74)}], ["/images/ubuntu.iso", {from: from(75)}]);
await during(0.1, ["/stock/all.csv", {...eager, from: from(76), answered: false}]);
await sleep(0.15 * seconds * 1000);
const slow = [["/reports/sales-2026.csv", {from: from(77)}], ["/images/debian.iso", {from: from(91)}], ["/images/tour.mp4", {rate: 150_000, from: from(92)}]];
for (const [target, how] of slow) await client(port, target, how);
await sleep(0.15 * seconds * 1000);
await client(port, "/v1/search/silent?q=blue+shoes", {from: from(42)});
await client(port, "/texts/handbook/text", {...eager, headers: "Accept-Encoding: zstd\r\n", from: from(60)});
await client(port, "/stock/all.csv", {...eager, from: from(61)});
await sleep(Math.max(0.15 * seconds, 6) * 1000);

for (const [scheme, page] of Object.entries(pages)) {
    await page.locator(".flow.stalled").first().waitFor();
    await shoot(page, `page-${scheme}`);
}
await pages.light.locator(".ended").screenshot({path: path.join(docs, "page-ended.png")});
const {light} = pages, chosen = light.locator(".flow", {hasText: "/reports/sales-2026.csv"});
await chosen.getByRole("button", {name: "Details"}).click();
await chosen.locator(".transitions").waitFor();
await chosen.screenshot({path: path.join(docs, "page-flow.png")});
clearInterval(traffic);
for (const page of Object.values(pages)) await page.context().close();
await gateway.stop();

// ---- thousands -------------------------------------------------------------------------------------------------------

gateway = await realGateway(crowded(origins));
const many = await open(browser, gateway.url, view("dark"));
for (let i = 0; i < 3000; i += 100)
    await Promise.all(Array.from({length: 100}, (_, n) => {
        const route = Math.floor(12 * ((i + n) * 7919 % 997 / 997) ** 2), kind = (i + n) % 50;
        const [target, how] = kind === 0 || (kind < 25 && route % 5 === 2) ? ["big.iso", {}] : kind < 3 && route > 7 ? ["silent", eager] : ["drip", eager];
        return client(gateway.port, `/${route}/${i + n}/${target}`, {...how, from: from(2 + (i + n) % 200)});
    }));
await sleep(20_000);
await shoot(many, "page-many");
await browser.close();
await gateway.stop();
for (const origin of origins) origin.stop();
process.exit(); // what is left are clients
