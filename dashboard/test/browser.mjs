// A browser, and the gateways that it looks at: a fake one that plays scenarios, and real ones. Each is ended with its test.

import {spawn} from "node:child_process";
import {once} from "node:events";
import fs from "node:fs";
import {createRequire} from "node:module";
import path from "node:path";
import {createInterface} from "node:readline";
import {fileURLToPath} from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const modules = createRequire(process.env.HEADGATE_NODE_MODULES ? path.join(process.env.HEADGATE_NODE_MODULES, "x.js") : import.meta.url);
export const {chromium} = modules("playwright-core");
export const axe = fs.readFileSync(modules.resolve("axe-core/axe.min.js"), "utf8");

// A program that says on its first line where it listens; `address` finds that in the line.
export async function start(program, args, address) {
    const child = spawn(program, args, {stdio: ["ignore", "pipe", "inherit"]});
    const lines = createInterface(child.stdout);
    const found = await new Promise((resolve, reject) => {
        lines.on("line", line => { const at = address.exec(line); if (at) resolve(at[1]); });
        child.once("exit", status => reject(new Error(`${program} ended with ${status}`)));
        child.once("error", reject);
    });
    return {
        address: found,
        url: `http://${found}/`,
        async stop(signal = "SIGTERM") {
            if (child.exitCode !== null || child.signalCode !== null) return;
            const gone = once(child, "exit");
            child.kill(signal);
            await gone;
        },
    };
}

export async function fakeGateway(...args) {
    const fake = await start("python3", ["-B", path.join(here, "fake_gateway.py"), ...args], /^listening on (\S+)$/);
    fake.play = name => fetch(`${fake.url}test/scenario/${name}`, {method: "POST"});
    fake.drop = () => fetch(`${fake.url}test/drop`, {method: "POST"});
    return fake;
}

// The browser that is there: Debian's chromium, or the one that HEADGATE_CHROMIUM names.
export const browser = () => chromium.launch({
    executablePath: process.env.HEADGATE_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});

// A page that fails its test by what it writes on the console. `expected` are messages that belong to the test.
export async function open(browser, url, how = {}, expected = []) {
    const context = await browser.newContext({viewport: {width: 1440, height: 1000}, colorScheme: "dark", ...how});
    const page = await context.newPage();
    page.complaints = [];
    const complain = text => { if (!expected.some(e => e.test(text))) page.complaints.push(text); };
    page.on("console", message => { if (["error", "warning"].includes(message.type())) complain(message.text()); });
    page.on("pageerror", error => complain(error.stack));
    page.setDefaultTimeout(60_000); // of a busy machine
    await page.goto(url);
    await page.locator("#headline").waitFor();
    return page;
}
