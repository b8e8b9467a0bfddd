// What is not a single flow: the headline, budgets, routes, databases, and what has ended.

import {html} from "./html.js";
import {Icon} from "./lanes.js";
import {StallChart} from "./chart.js";
import * as words from "./words.js";

export function Top({state, act}) {
    const o = state.overview;
    const link = !state.connected ? ["lost", "no connection to the gateway"] : state.paused ? ["paused", "paused"]
                 : o?.draining ? ["paused", "ending"] : o && !o.ready ? ["paused", "not ready"] : ["live", "live"];
    return html`
        <header class="top">
            <a class="skip" href="#flows-title">Skip to the live flows</a>
            <h1><img src="icon.svg" alt="" width="26" height="26" />headgate</h1>
            <span class=${`link ${link[0]}`} id="link">${link[1]}</span>
            ${o && html`<span class="quiet facts">version ${o.version}, process ${o.pid}, ${words.plural(o.workers, "worker")}, up ${words.time(o.uptime_s * 1000)}</span>`}
            <span class="actions">
                <button type="button" id="pause" aria-pressed=${state.paused ? "true" : "false"} onClick=${act.pause}>Pause</button>
                <button type="button" id="theme" onClick=${act.theme}>${state.dark ? "Light" : "Dark"}</button>
                <button type="button" id="help" onClick=${act.help}>Keys</button>
            </span>
        </header>`;
}

export function Headline({state, act}) {
    const h = state.headline;
    return html`
        <section class=${`headline ${h.level}`} aria-label="How things are">
            <span class="mark" aria-hidden="true">${h.level === "fine" ? "✓" : h.level === "slow" ? "…" : "!"}</span>
            <div><p class="sentence" id="headline">${h.text}</p><p class="more">${h.more}</p></div>
            ${h.flow && html`<button type="button" onClick=${() => act.show(h.flow)}>Show it</button>`}
        </section>`;
}

function Gauge({name, used, limit, show, hint}) {
    const share = limit ? Math.min(used / limit, 1) : 0;
    const level = share > 0.9 ? "stalled" : share > 0.7 ? "slow" : "fine";
    const text = `${show(used)} of ${show(limit)}`;
    return html`
        <div class=${`gauge ${level}`} role="meter" aria-label=${name} aria-valuemin="0" aria-valuemax=${limit} aria-valuenow=${used} aria-valuetext=${text} title=${hint}>
            <span class="gauge-name">${name}</span><span class="gauge-text">${text}</span>
            <span class="tube"><span style=${{transform: `scaleX(${share.toFixed(4)})`}}></span></span>
        </div>`;
}

export function Budgets({overview: o, ended}) {
    const left = ended.reduce((sum, f) => sum + f.left_bytes, 0);
    return html`
        <section aria-labelledby="budgets-title" class="panel budgets">
            <h2 id="budgets-title">Budgets</h2>
            ${o.memory && html`<${Gauge} name="Memory for streams" used=${o.memory.used_bytes} limit=${o.memory.limit_bytes} show=${words.bytes} hint="What all flows together hold in buffers" />`}
            ${o.spool && html`<${Gauge} name="Disk for exports (spool)" used=${o.spool.used_bytes} limit=${o.spool.limit_bytes} show=${words.bytes} hint="What exports keep on disk for slow clients" />`}
            ${o.descriptors && html`<${Gauge} name="Descriptors" used=${o.descriptors.used} limit=${o.descriptors.limit} show=${words.count} hint="Open sockets, files and pipes of the process" />`}
            <dl class="numbers">
                <div><dt>flows</dt><dd id="flow-count">${words.count(o.flows)}</dd></div>
                <div><dt>connections</dt><dd>${words.count(o.connections)}</dd></div>
                <div><dt>requests</dt><dd>${words.count(Math.round(o.rates?.requests_per_s ?? 0))} /s</dd></div>
                <div><dt>errors</dt><dd>${words.count(Math.round(o.rates?.errors_per_s ?? 0))} /s</dd></div>
                <div><dt>to clients</dt><dd>${words.bytes(o.rates?.down_bytes_per_s ?? 0)}/s</dd></div>
                <div><dt>from clients</dt><dd>${words.bytes(o.rates?.up_bytes_per_s ?? 0)}/s</dd></div>
                <div><dt title="Memory of the whole process that is resident">process</dt><dd>${words.bytes(o.rss_bytes)}</dd></div>
                <div><dt><a href="#ended-title" title="What ended flows have left: it must be nothing">left behind</a></dt><dd class=${left ? "bad" : "good"}>${words.bytes(left)}</dd></div>
            </dl>
        </section>`;
}

const SHARES = [...words.PARTIES, "none"];
const ROUTES_SHOWN = 12;

const routeName = r => r.route ?? ""; // it is null for who has not sent a whole head yet

export function Routes({state, act}) {
    const all = [...state.overview.routes].sort((a, b) => b.stalled - a.stalled || b.flows - a.flows || routeName(a).localeCompare(routeName(b)));
    const most = Math.max(1, ...all.map(r => r.flows));
    return html`
        <section aria-labelledby="routes-title" class="panel routes">
            <h2 id="routes-title">Routes: whom their flows wait for</h2>
            <${StallChart} history=${state.history} route=${state.route} dark=${state.dark} />
            <table>
                <thead><tr><th scope="col">route</th><th scope="col" class="wide"><span class="unseen">whom its flows wait for</span></th>
                    <th scope="col" class="number">flows</th><th scope="col" class="number">stalled</th><th scope="col" class="number">held</th></tr></thead>
                <tbody>${all.slice(0, ROUTES_SHOWN).map(r => html`
                    <tr key=${routeName(r)} class=${state.route && r.route === state.route ? "chosen" : ""}>
                        <th scope="row">${r.route == null ? html`<span class="quiet" title="Requests whose head has not come whole">none yet</span>` : html`
                            <button type="button" class="plain-button" aria-pressed=${r.route === state.route ? "true" : "false"}
                                title="Show this route only" onClick=${() => act.route(r.route === state.route ? null : r.route)}>${r.route}</button>`}</th>
                        <td><span class="shares" role="img" aria-label=${sharesText(r)} title=${sharesText(r)} style=${{width: `${Math.max(8, 100 * r.flows / most)}%`}}>
                            ${SHARES.map(p => r.bottlenecks[p] > 0 && html`<span key=${p} class=${`fill-${p}`} style=${{flexGrow: r.bottlenecks[p]}}></span>`)}</span></td>
                        <td class="number">${words.count(r.flows)}</td>
                        <td class=${"number" + (r.stalled ? " bad" : "")}>${words.count(r.stalled)}</td>
                        <td class="number">${words.bytes(r.held_bytes)}</td>
                    </tr>`)}</tbody>
            </table>
            ${all.length > ROUTES_SHOWN && html`<p class="quiet">and ${words.plural(all.length - ROUTES_SHOWN, "route")} with fewer</p>`}
        </section>`;
}

function sharesText(r) {
    const parts = words.PARTIES.filter(p => r.bottlenecks[p]).map(p => `${words.count(r.bottlenecks[p])} for ${words.PARTY_PLURALS[p]}`);
    return parts.length ? `wait: ${parts.join(", ")}` : "nobody is waited for";
}

export function Databases({sources}) {
    if (!sources?.length) return null;
    return html`
        <section aria-labelledby="databases-title" class="panel databases">
            <h2 id="databases-title">Databases</h2>
            ${sources.map(s => {
                const early = s.leases_total ? s.returned_early_total / s.leases_total : null;
                const pool = `${words.count(s.busy)} of ${words.plural(s.size, "connection")} in use`;
                return html`
                <div class="source" key=${s.name}>
                    <h3><${Icon} of="database" />${s.name} <span class="quiet">${s.driver}</span></h3>
                    <p class="slots" role="img" aria-label=${pool}>${Array.from({length: Math.min(s.size, 40)}, (_, i) =>
                        html`<i key=${i} class=${i < s.busy ? "busy" : i < s.busy + s.idle ? "idle" : ""}></i>`)}</p>
                    <p>${pool}${s.waiting ? html`, <b class="bad">${words.plural(s.waiting, "request")} ${s.waiting === 1 ? "waits" : "wait"} for one</b>` : ""}</p>
                    ${s.leases_total > 0 && html`<p class="quiet">a query keeps one for ${words.time(s.hold_ms_total / s.leases_total)} on average; <b class=${early > 0 ? "good" : "quiet"}>${words.percent(early)} were given back before the client was done</b></p>`}
                </div>`;
            })}
        </section>`;
}

const ENDED_SHOWN = 30;
const SLOWED_MS = 500; // nothing has slowed what took less

export function Ended({state}) {
    const all = state.ended;
    const left = all.reduce((sum, f) => sum + f.left_bytes, 0);
    return html`
        <section aria-labelledby="ended-title" class="panel ended">
            <div class="section-head"><h2 id="ended-title">Ended flows</h2>
                <span class=${left ? "bad" : "good"} id="left">${all.length ? `the last ${words.count(all.length)} left ${left ? words.bytes(left) : "nothing"} behind` : ""}</span></div>
            <div class="scroll" tabindex="0" role="region" aria-label="Ended flows, newest first"><table>
                <thead><tr><th scope="col">ended</th><th scope="col" class="wide">what</th><th scope="col">client</th><th scope="col">how</th><th scope="col">slowed by</th>
                    <th scope="col" class="number">took</th><th scope="col" class="number">moved</th><th scope="col" class="number">held at most</th><th scope="col" class="number">left behind</th></tr></thead>
                <tbody>${all.slice(0, ENDED_SHOWN).map(f => html`
                    <tr key=${f.id}>
                        <td>${f.ended?.slice(11, 19) ?? ""}</td><td class="target" title=${words.wholeTarget(f)}>${words.wholeTarget(f)}</td><td>${f.client ?? ""}</td>
                        <td class=${f.cause === "complete" ? "good" : "warn"}>${words.causeWords(f.cause)}</td>
                        <td>${f.verdict && f.verdict.share >= 0.5 && f.age_ms >= SLOWED_MS ? `${f.verdict.stage} (${words.percent(f.verdict.share)})` : "nobody"}</td>
                        <td class="number">${words.time(f.age_ms)}</td><td class="number">${words.bytes(f.up_bytes + f.down_bytes)}</td>
                        <td class="number">${words.bytes(f.held_max_bytes)}</td>
                        <td class=${"number " + (f.left_bytes ? "bad" : "good")}>${f.left_bytes ? words.bytes(f.left_bytes) : "0 B ✓"}</td>
                    </tr>`)}</tbody></table></div>
        </section>`;
}
