// What the page knows, how it changes, and how it is drawn: one state, one function that draws it all.

import {html, render} from "./html.js";
import * as api from "./api.js";
import * as words from "./words.js";
import {Flows, LIMITS, SORTS} from "./lanes.js";
import {Budgets, Databases, Ended, Headline, Routes, Top} from "./board.js";
import {History} from "./chart.js";
import {keyOf, Upstreams} from "./upstreams.js";

const ENDED_MAX = 200;
const SEARCH_PAUSE_MS = 150;
const ANNOUNCE_PAUSE_MS = 10_000;
const DRAWN_MORE = 100; // flows that are drawn for the first time in one frame

const darkSystem = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (darkSystem.matches ? "dark" : "light")) === "dark";

const state = {
    overview: null, flows: null, ended: [], headline: null, history: new History(),
    connected: false, paused: false, locked: false, failure: "", dark: isDark(),
    sort: "stalled", limit: LIMITS[0], drawn: DRAWN_MORE, search: "", route: null,
    chosen: null, open: new Set(), asking: null, askingDrain: null, going: new Set(), more: new Map(), rates: new Map(),
};

// ---- drawing ---------------------------------------------------------------------------------------------------------

let drawing = false;
let focusNext = null; // what gets the focus when all is drawn

function changed() {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
        drawing = false;
        render(html`<${Page} />`, document.getElementById("page"));
        document.querySelector("[data-focus]:not([data-focused])")?.focus();
        document.querySelector("[data-focus]")?.setAttribute("data-focused", "");
        const wanted = state.flows?.flows.length ?? 0;
        if (wanted > state.drawn) changed();
        state.drawn = Math.max(DRAWN_MORE, Math.min(state.drawn, wanted) + DRAWN_MORE);
        if (focusNext) document.querySelector(focusNext)?.focus();
        focusNext = null;
    });
}

function Page() {
    if (state.locked) return html`<${Locked} />`;
    return html`
        <${Top} state=${state} act=${act} />
        ${state.overview && state.flows ? html`
            <main>
                <${Headline} state=${state} act=${act} />
                <${Flows} state=${state} act=${act} />
                <div class="side">
                    <${Routes} state=${state} act=${act} />
                    <${Budgets} overview=${state.overview} ended=${state.ended} />
                    <${Databases} sources=${state.overview.sources} />
                    <${Upstreams} upstreams=${state.overview.upstreams} asking=${state.askingDrain} act=${act} />
                </div>
                <${Ended} state=${state} />
            </main>` : html`<main><p class="quiet nothing">${state.failure || "Asking the gateway."}</p></main>`}
        <${Keys} />`;
}

function Locked() {
    const enter = e => {
        e.preventDefault();
        api.token.set(new FormData(e.target).get("token").trim());
        state.locked = false;
        start();
        changed();
    };
    return html`
        <main><form class="panel lock" onSubmit=${enter}>
            <h1>headgate</h1>
            <label>This gateway wants its admin token <input name="token" type="password" autocomplete="off" required data-focus /></label>
            <button type="submit">Show</button>
        </form></main>`;
}

const Keys = () => html`
    <dialog id="keys" aria-labelledby="keys-title">
        <h2 id="keys-title">Keys</h2>
        <dl>${[["↓ ↑  or  j k", "the next flow, the one before"], ["Enter", "details of the flow"], ["x", "abort the flow; it asks once"], ["/", "search"],
               ["s", "another order"], ["p", "pause the picture, or go on"], ["t", "dark or light"], ["Escape", "back"], ["?", "these keys"]].map(([key, what]) =>
            html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}</dl>
        <form method="dialog"><button>Close</button></form>
    </dialog>`;

// Tells those who do not see the page: only what changes in kind, and not often.
let announced = "", announcedAt = -Infinity;

function announce(text, now = false) {
    const at = performance.now();
    if (!now && (text === announced || at - announcedAt < ANNOUNCE_PAUSE_MS)) return;
    announced = text;
    announcedAt = at;
    document.getElementById("announcer").textContent = text;
}

// ---- what comes from the gateway -------------------------------------------------------------------------------------

let previous = new Map(); // of each flow, when it was seen last and the bytes of its stages

function measureRates(flows) {
    const now = performance.now(), seen = new Map();
    const rates = new Map();
    for (const flow of flows) {
        const stages = {};
        for (const lane of flow.lanes) lane.stages.forEach((s, i) => { stages[`${lane.direction} ${i}`] = s.bytes; });
        const before = previous.get(flow.id);
        if (before && now - before.at < 200) { // too soon to tell
            seen.set(flow.id, before);
            rates.set(flow.id, before.rates);
            continue;
        }
        const of = {};
        for (const [key, bytes] of Object.entries(stages))
            of[key] = before ? Math.max(0, (bytes - (before.stages[key] ?? 0)) * 1000 / (now - before.at)) : bytes * 1000 / Math.max(flow.age_ms, 1);
        seen.set(flow.id, {at: now, stages, rates: of});
        rates.set(flow.id, of);
    }
    previous = seen;
    return rates;
}

function tookFlows(answer) {
    state.flows = answer;
    state.rates = measureRates(answer.flows);
    const alive = new Set(answer.flows.map(f => f.id));
    for (const kept of [state.open, state.going]) for (const id of kept) if (!alive.has(id)) kept.delete(id);
    for (const id of state.more.keys()) if (!alive.has(id)) state.more.delete(id);
    if (state.asking && !alive.has(state.asking)) state.asking = null;
    if (state.chosen && !alive.has(state.chosen)) state.chosen = null;
    judgeAll();
    for (const id of state.open) askMore(id);
}

const askingMore = new Set(); // one question at a time for each

async function askMore(id) {
    if (askingMore.has(id)) return;
    askingMore.add(id);
    try {
        const more = await api.flow(id);
        if (state.open.has(id)) state.more.set(id, more);
        changed();
    } catch {
        // it has ended, which the next event says
    } finally {
        askingMore.delete(id);
    }
}

function judgeAll() {
    if (!state.overview || !state.flows) return;
    state.headline = words.headline(state.overview, state.flows.flows, state.sort === "stalled" && !filtered());
    announce(state.headline.kind.startsWith("stalled") ? state.headline.text : state.headline.kind === "fine" ? "Everything flows." : state.headline.text,
             false);
}

const filtered = () => state.search !== "" || state.route !== null;

function received(name, data) {
    state.connected = true;
    performance.clearMarks("arrived");
    performance.mark("arrived", {detail: {name, time: data.time}}); // the tests measure how long it takes until it is shown
    if (name === "ended") {
        const news = Array.isArray(data) ? data : data.flows;
        const known = new Set(news.map(f => f.id));
        state.ended = [...news, ...state.ended.filter(f => !known.has(f.id))].slice(0, ENDED_MAX);
    }
    if (state.paused) return changed();
    if (name === "overview") {
        state.overview = data;
        state.history.add(Date.parse(data.time) / 1000, data.routes);
        judgeAll();
    } else if (name === "flows") {
        tookFlows(data);
    }
    changed();
}

let unfollow = () => {};

function start() {
    unfollow();
    unfollow = api.follow({sort: state.sort, limit: state.limit, search: state.search, route: state.route}, received, error => {
        state.connected = false;
        state.locked = error?.status === 401;
        state.failure = error ? error.message : "The gateway has closed the connection.";
        changed();
    });
    api.ended(ENDED_MAX).then(flows => { state.ended = flows; changed(); }, () => {});
}

// ---- what people do --------------------------------------------------------------------------------------------------

let searchLater = 0;

function filter() {
    start();
    changed();
}

function focusFlow(id) {
    const card = document.querySelector(`[data-flow="${CSS.escape(id)}"]`);
    card?.focus({preventScroll: true});
    card?.scrollIntoView({block: "nearest"});
}

const drainButton = key => `[data-endpoint="${CSS.escape(key)}"]`;

const act = {
    choose(id) { if (state.chosen !== id) { state.chosen = id; changed(); } },
    open(id) {
        if (!state.open.delete(id)) {
            state.open.add(id);
            askMore(id);
        }
        changed();
    },
    ask(id) {
        const before = state.asking;
        state.asking = id;
        changed();
        if (!id && before) focusFlow(before);
    },
    async abort(id) {
        state.asking = null;
        state.going.add(id);
        changed();
        focusFlow(id);
        try {
            await api.abort(id);
            announce(`Flow ${id} was aborted.`, true);
        } catch (e) {
            announce(`Flow ${id} was not aborted: ${e.message}`, true);
            state.going.delete(id);
        }
        changed();
    },
    askDrain(key) {
        if (!key) focusNext = drainButton(state.askingDrain);
        state.askingDrain = key;
        changed();
    },
    async drain(upstream, address, on) {
        const endpoint = () => state.overview.upstreams.find(u => u.name === upstream)?.endpoints.find(e => e.address === address);
        state.askingDrain = null;
        focusNext = drainButton(keyOf({name: upstream}, {address}));
        changed();
        try {
            await api.drain(upstream, address, on);
            announce(on ? `${address} gets no new requests.` : `${address} gets requests again.`, true);
            if (endpoint()) endpoint().draining = on; // as the next event will say
            focusNext = document.activeElement?.dataset?.endpoint ? drainButton(document.activeElement.dataset.endpoint) : null;
        } catch (e) {
            announce(`${address} stays as it was: ${e.message}`, true);
        }
        changed();
    },
    show(id) {
        act.choose(id);
        if (!state.open.has(id)) act.open(id);
        focusFlow(id);
    },
    search(text) {
        state.search = text;
        clearTimeout(searchLater);
        searchLater = setTimeout(filter, SEARCH_PAUSE_MS);
        changed();
    },
    route(name) { state.route = name; filter(); },
    sort(key) { state.sort = key; filter(); },
    limit(n) { state.limit = n; filter(); },
    pause() { state.paused = !state.paused; changed(); },
    theme() {
        const theme = isDark() ? "light" : "dark";
        document.documentElement.dataset.theme = theme;
        localStorage.setItem("headgate.theme", theme);
        state.dark = isDark();
        changed();
    },
    help() {
        const keys = document.getElementById("keys");
        if (keys.open) keys.close(); else keys.showModal();
    },
};

function step(by) {
    const list = state.flows?.flows ?? [];
    if (!list.length) return;
    const at = list.findIndex(f => f.id === state.chosen);
    const focused = document.activeElement?.closest?.("[data-flow]");
    const next = list[at < 0 || !focused ? Math.max(at, 0) : Math.min(Math.max(at + by, 0), list.length - 1)];
    act.choose(next.id);
    focusFlow(next.id);
}

function escape() {
    if (state.asking) return act.ask(null);
    if (state.askingDrain) return act.askDrain(null);
    if (document.activeElement?.id === "search") {
        if (state.search) act.search("");
        else document.activeElement.blur();
    } else if (state.chosen && state.open.has(state.chosen)) {
        act.open(state.chosen);
    }
}

document.addEventListener("keydown", e => {
    if (e.ctrlKey || e.metaKey || e.altKey || document.getElementById("keys")?.open || state.locked) return;
    if (e.key === "Escape") return escape();
    const at = e.target.closest("input, select, textarea");
    if (at) {
        if (at.id === "search" && (e.key === "Enter" || e.key === "ArrowDown")) { e.preventDefault(); step(1); }
        return;
    }
    const onFlow = e.target.matches?.("[data-flow]");
    const keys = {
        ArrowDown: () => step(1), ArrowUp: () => step(-1), j: () => step(1), k: () => step(-1),
        x: () => state.chosen && act.ask(state.chosen), "/": () => document.getElementById("search")?.focus(), p: act.pause, t: act.theme, "?": act.help,
        s() {
            const all = Object.keys(SORTS);
            act.sort(all[(all.indexOf(state.sort) + 1) % all.length]);
        },
    };
    if (e.key === "Enter" && onFlow) { e.preventDefault(); act.open(state.chosen); return; }
    if (!keys[e.key]) return;
    e.preventDefault();
    keys[e.key]();
});

darkSystem.addEventListener("change", () => { state.dark = isDark(); changed(); });

start();
changed();
