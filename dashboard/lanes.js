// The live flows: each a card with its lanes, each lane a row of vessels from the source to the sink.

import {html, Component} from "./html.js";
import * as words from "./words.js";

const ICONS = {
    client: html`<path d="M3 4h18v11H3zM1 18h22M9 21h6"/>`,
    upstream: html`<path d="M4 3h16v7H4zM4 14h16v7H4zM7.5 6.5h.01M7.5 17.5h.01"/>`,
    database: html`<path d="M4 6c0-4 16-4 16 0s-16 4-16 0v12c0 4 16 4 16 0V6M4 12c0 4 16 4 16 0"/>`,
    stage: html`<path d="M3 5h18l-7 8v7l-4-2v-5z"/>`,
};
export const Icon = ({of}) => html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">${ICONS[of]}</svg>`;

function fillOf(stage) {
    if (stage.limit_bytes) return Math.min(stage.held_bytes / stage.limit_bytes, 1);
    return stage.held_bytes ? Math.min(stage.held_bytes / Math.max(stage.held_max_bytes, 1), 1) : 0;
}

function nameOf(stage, party, flow) {
    if (party === "client") return `client ${flow.client}`;
    if (party === "upstream") return flow.upstream ?? "upstream";
    if (party === "database") return `database ${flow.source}`;
    return stage.name;
}

function Vessel({stage, index, lane, flow, verdict}) {
    const party = words.partyOf(stage, lane.direction, flow);
    const whom = words.waitsFor(stage, index, lane, flow);
    const culprit = verdict.level !== "fine" && lane.verdict?.index === index ? ` culprit ${verdict.level}` : "";
    const said = words.stageWords(stage, index, lane, flow, verdict);
    const held = stage.limit_bytes ? `${words.bytes(stage.held_bytes)} of ${words.bytes(stage.limit_bytes)}`
                                   : stage.held_bytes ? words.bytes(stage.held_bytes) : "holds nothing";
    const name = nameOf(stage, party, flow);
    return html`
        <li class="stage waits-${whom}${culprit}">
            <span class="stage-name" title=${name}><${Icon} of=${party} />${name}</span>
            <span class="vessel">
                <span class=${stage.limit_bytes ? "liquid" : "liquid without-limit"} style=${{transform: `scaleY(${fillOf(stage).toFixed(3)})`}}></span>
                <span class="held">${held}</span>
            </span>
            <span class="stage-words">${said}</span>
        </li>`;
}

// The pipe before a stage: still when nothing moves through it.
function Pipe({rate, broken}) {
    return html`<li class=${"pipe" + (rate > 0 ? " moving" : "") + (broken ? " broken" : "")} aria-hidden="true">
        <span class="rate">${rate > 0 ? `${words.bytes(rate)}/s` : broken ? "nothing moves" : ""}</span><span class="line"></span></li>`;
}

const ROOMY = 4; // stages, between which there is room for words

function Lane({lane, flow, verdict, rates}) {
    const parts = [];
    lane.stages.forEach((stage, i) => {
        const rate = rates?.[`${lane.direction} ${i}`] ?? 0;
        const culprit = verdict.level === "stalled" && lane.verdict ? lane.verdict.index : -1;
        const broken = !rate && culprit >= 0 && (i === culprit || (culprit === 0 && i === 1));
        if (i) parts.push(html`<${Pipe} key=${"p" + i} rate=${rate} broken=${broken} />`);
        parts.push(html`<${Vessel} key=${"s" + i} stage=${stage} index=${i} lane=${lane} flow=${flow} verdict=${verdict} />`);
    });
    const label = lane.direction === "down" ? "to the client" : "from the client";
    return html`<ol class=${"lane" + (lane.stages.length > ROOMY ? " narrow" : "")} aria-label=${`Stages ${label}, source first`}>${parts}</ol>`;
}

// The three clocks of each stage, and the last transitions.
function Details({flow, more}) {
    const clocks = [["waiting_for_source_ms", "for what comes in"], ["working_ms", "working"], ["waiting_for_consumer_ms", "for who takes it"]];
    return html`
        <div class="details">
            ${flow.lanes.map(lane => html`
                <table key=${lane.direction}>
                    <caption>${lane.direction === "down" ? "To the client" : "From the client"}: where each stage's time went</caption>
                    <thead><tr><th scope="col">stage</th><th scope="col" class="wide"><span class="unseen">shares</span></th>
                        ${clocks.map(([key, name]) => html`<th scope="col" class="number"><i class=${`swatch clock-${key}`}></i>${name}</th>`)}
                        <th scope="col" class="number">passed</th><th scope="col" class="number">held at most</th></tr></thead>
                    <tbody>${lane.stages.map((stage, i) => {
                        const whole = clocks.reduce((sum, [key]) => sum + stage[key], 0) || 1;
                        return html`<tr key=${i}><th scope="row">${nameOf(stage, words.partyOf(stage, lane.direction, flow), flow)}</th>
                            <td><span class="clocks" aria-hidden="true">${clocks.map(([key]) =>
                                html`<span class=${`clock-${key}` + (key === "working_ms" && lane.verdict?.index === i ? " clock-culprit" : "")} style=${{width: `${100 * stage[key] / whole}%`}}></span>`)}</span></td>
                            ${clocks.map(([key]) => html`<td class="number">${words.time(stage[key])}</td>`)}
                            <td class="number">${words.bytes(stage.bytes)}</td><td class="number">${words.bytes(stage.held_max_bytes)}</td></tr>`;
                    })}</tbody>
                </table>`)}
            ${more?.transitions && html`<p class="transitions">What it did: ${more.transitions.map((t, i) =>
                html`<span key=${i}><b>${t.what}</b> at ${words.time(t.at_ms)}</span>`)}</p>`}
            <p class="quiet">request <code>${flow.request_id ?? "unknown"}</code>, flow <code>${flow.id}</code>, on ${flow.listener ?? "no listener"}, status ${flow.status ?? "not yet known"}</p>
        </div>`;
}

class Flow extends Component {
    shouldComponentUpdate(next) {
        return ["flow", "open", "asking", "going", "chosen", "rates", "more", "position"].some(key => next[key] !== this.props[key]);
    }

    render({flow, open, asking, going, chosen, rates, more, position, size, act}) {
        const verdict = words.judge(flow);
        const title = `flow-${flow.id}`;
        return html`
            <article class=${`flow ${verdict.level}${open ? " open" : ""}`} data-flow=${flow.id} tabindex=${chosen ? 0 : -1}
                     aria-labelledby=${title} aria-posinset=${position} aria-setsize=${size} onFocus=${() => act.choose(flow.id)}>
                <header>
                    <h3 id=${title}><span class=${`badge ${verdict.level} party-${verdict.party}`}>${verdict.text}</span>
                        ${" "}<span class="target" title=${words.wholeTarget(flow)}>${words.wholeTarget(flow)}</span></h3>
                    <span class="quiet who">${!flow.lanes.length && flow.client ? `${flow.client}, ` : ""}${flow.route == null ? "no route yet" : `route ${flow.route}`}, ${words.time(flow.age_ms)} old</span>
                    <span class="actions">${going ? html`<span class="quiet">aborting</span>` : asking ? html`
                        <span key="question" class="question">End it now?</span>
                        <button key="yes" type="button" class="danger" data-focus onClick=${() => act.abort(flow.id)}>Yes, abort</button>
                        <button key="no" type="button" onClick=${() => act.ask(null)}>No</button>` : html`
                        <button key="details" type="button" aria-expanded=${open ? "true" : "false"} onClick=${() => act.open(flow.id)}>Details</button>
                        <button key="abort" type="button" aria-label=${`Abort ${words.wholeTarget(flow)} of ${flow.client}`} onClick=${() => act.ask(flow.id)}>Abort</button>`}</span>
                </header>
                ${flow.lanes.map(lane => html`<${Lane} key=${lane.direction} lane=${lane} flow=${flow} verdict=${verdict} rates=${rates} />`)}
                <ul class="costs" aria-label="What it costs">
                    ${words.costs(flow, verdict).map(([mood, text]) => html`<li key=${text.slice(0, 9)} class=${mood}>${text}</li>`)}
                    <li class="plain">${words.bytes(flow.down_bytes)} to the client${flow.up_bytes ? `, ${words.bytes(flow.up_bytes)} from it` : ""}</li>
                </ul>
                ${open && html`<${Details} flow=${flow} more=${more} />`}
            </article>`;
    }
}

export const SORTS = {stalled: "longest stalled", held: "most bytes held", age: "oldest", hold: "longest hold of a connection", bytes: "most bytes moved"};
export const LIMITS = [25, 100, 500];
const LONG = 50;

const Legend = () => html`
    <ul class="legend" aria-label="Colours">
        <li class="waits-work"><i></i>at work</li>
        <li>waits for</li>
        <li class="waits-client"><i></i>the client</li>
        <li class="waits-upstream"><i></i>the upstream</li>
        <li class="waits-database"><i></i>the database</li>
        <li class="waits-stage"><i></i>a stage here</li>
        <li class="culprit"><i></i>is waited for</li>
    </ul>`;

export function Flows({state, act}) {
    const {flows} = state;
    const filtered = state.search || state.route;
    const position = Math.max(flows.flows.findIndex(f => f.id === state.chosen), 0);
    return html`
        <section aria-labelledby="flows-title" class="flows">
            <div class="section-head">
                <h2 id="flows-title">Live flows</h2>
                <span class="quiet" id="shown">${words.count(flows.flows.length)} of ${words.plural(filtered ? flows.matched : flows.total, "flow")}${
                    filtered ? ` that ${flows.matched === 1 ? "fits" : "fit"}` : ""}</span>
                <span class="tools">
                    ${state.route && html`<button type="button" class="filter" onClick=${() => act.route(null)} aria-label=${`Route ${state.route}: show all routes`}>route ${state.route} ×</button>`}
                    <label>Search <input type="search" id="search" placeholder="path, client or id  ( / )" value=${state.search} onInput=${e => act.search(e.target.value)} /></label>
                    <label>First <select id="sort" value=${state.sort} onChange=${e => act.sort(e.target.value)}>
                        ${Object.entries(SORTS).map(([key, name]) => html`<option key=${key} value=${key} selected=${key === state.sort}>${name}</option>`)}</select></label>
                    <label>Show <select id="limit" value=${state.limit} onChange=${e => act.limit(+e.target.value)}>
                        ${LIMITS.map(n => html`<option key=${n} value=${n} selected=${n === state.limit}>${n}</option>`)}</select></label>
                </span>
            </div>
            <${Legend} />
            <div class=${"feed" + (flows.flows.length > LONG ? " long" : "")} role="feed" aria-label="Live flows" aria-busy=${state.drawn < flows.flows.length ? "true" : "false"}>
                ${flows.flows.slice(0, state.drawn).map((flow, i) => html`<${Flow} key=${flow.id} flow=${flow} position=${i + 1} size=${flows.matched}
                    open=${state.open.has(flow.id)} asking=${state.asking === flow.id} going=${state.going.has(flow.id)}
                    chosen=${i === position} rates=${state.rates.get(flow.id)} more=${state.more.get(flow.id)} act=${act} />`)}
                ${!flows.flows.length && html`<p class="quiet nothing">${filtered ? "No flow fits." : "No flow is under way."}</p>`}
            </div>
        </section>`;
}
