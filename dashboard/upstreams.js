// The upstreams and their endpoints: how they are, and the button that empties one, so that it can be stopped.

import {html} from "./html.js";
import {Icon} from "./lanes.js";
import * as words from "./words.js";

const CIRCUITS = {open: "given up on for now (circuit open)", half_open: "being tried again (circuit half open)"};
const SIGNS = {fine: "●", slow: "▼", stalled: "✕"};

export const keyOf = (upstream, endpoint) => `${upstream.name} ${endpoint.address}`;

// How bad it is, and in words.
function stateOf(e, alone) {
    const left = e.busy ? `${words.plural(e.busy, "connection")} left` : "empty, it can be stopped";
    if (e.draining && alone) return ["slow", `drained, but gets requests as there is no other: ${words.count(e.busy)} in use`];
    if (e.draining) return ["slow", `drains, gets nothing new: ${left}`];
    const use = `${words.count(e.busy)} in use`;
    if (e.ejected) return ["stalled", `left out after errors, ${use}`];
    if (e.healthy === false) return ["stalled", `fails its health check, ${use}`];
    return ["fine", `well, ${use}`];
}

function Drain({of, upstream, last, asking, act}) {
    const key = keyOf(upstream, of);
    const does = on => () => act.drain(upstream.name, of.address, on);
    if (asking === key)
        return html`<span class="ask" role="group" aria-label=${`Drain ${of.address}`}>
            <span key="question" class="question">${last ? "It is the last, and will get requests all the same. Drain it?" : "Send it nothing new?"}</span>
            <button key="yes" type="button" class="danger" data-focus onClick=${does(true)}>Yes, drain</button>
            <button key="no" type="button" onClick=${() => act.askDrain(null)}>No</button></span>`;
    return of.draining ? html`<button key="back" type="button" data-endpoint=${key} aria-label=${`Take back ${of.address}: send it requests again`} onClick=${does(false)}>Take back</button>`
                       : html`<button key="drain" type="button" data-endpoint=${key} aria-label=${`Drain ${of.address}`} title="Send it no new requests; those under way go on" onClick=${() => act.askDrain(key)}>Drain</button>`;
}

export function Upstreams({upstreams, asking, act}) {
    if (!upstreams?.length) return null;
    return html`
        <section aria-labelledby="upstreams-title" class="panel upstreams">
            <h2 id="upstreams-title">Upstreams</h2>
            ${upstreams.map(u => {
                const others = u.endpoints.filter(e => !e.draining).length;
                return html`
                <div class="upstream" key=${u.name}>
                    <h3><${Icon} of="upstream" />${u.name} <span class="quiet">${words.count(u.busy)} in use, ${words.count(u.idle)} kept${u.queued ? `, ${words.count(u.queued)} wait` : ""}</span></h3>
                    ${CIRCUITS[u.circuit] && html`<p class="bad">${CIRCUITS[u.circuit]}</p>`}
                    <ul>${u.endpoints.map(e => {
                        const [level, text] = stateOf(e, others === 0);
                        return html`<li key=${e.address} class=${level}><i aria-hidden="true">${SIGNS[level]}</i>
                            <span class="endpoint">${e.address} <span class="quiet">${text}</span></span>
                            <${Drain} of=${e} upstream=${u} last=${others === 1} asking=${asking} act=${act} /></li>`;
                    })}</ul>
                </div>`;
            })}
        </section>`;
}
