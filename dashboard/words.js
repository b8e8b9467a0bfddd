// Numbers and verdicts in plain words.

const SLOW_SHARE = 0.5; // of a flow's age spent on waiting for one party
const SLOW_AGE_MS = 2000; // before that a share says nothing

export const PARTIES = ["client", "upstream", "database", "stage"];
export const PARTY_NAMES = {client: "the client", upstream: "the upstream", database: "the database", disk: "the disk",
                            stage: "a stage of the gateway"};
export const PARTY_PLURALS = {client: "clients", upstream: "upstreams", database: "databases", stage: "stages of the gateway"};

const three = value => value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1).replace(/\.0$/, "")
                                                                     : value.toFixed(2).replace(/\.?0+$/, "");

export function bytes(count) {
    if (count == null) return "unknown";
    if (count < 1024) return `${Math.round(count)} B`;
    const unit = Math.min(Math.floor(Math.log2(count) / 10), 5);
    return `${three(count / 2 ** (10 * unit))} ${["B", "KiB", "MiB", "GiB", "TiB", "PiB"][unit]}`;
}

export function time(ms) {
    if (ms == null) return "unknown";
    if (ms < 100) return `${Math.max(Math.round(ms), ms > 0 ? 1 : 0)} ms`;
    const s = ms / 1000;
    if (s < 10) return `${s.toFixed(1)} s`;
    if (s < 60) return `${Math.floor(s)} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
    if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
    return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
}

export const count = n => n == null ? "unknown" : n.toLocaleString("en-US").replaceAll(",", "\u202f");
export const percent = share => `${Math.round(share * 100)} %`;
export const plural = (n, one, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;

// What there is to say of a flow: how bad it is ("stalled", "slow" or "fine"), who is waited for, and in words.
export function judge(flow) {
    const v = flow.verdict;
    if (flow.stalled_ms > 0) { // from when on a flow is stalled, the gateway decides
        const party = flow.stalled_by;
        const whom = party === "stage" && v ? `the stage ${v.stage}` : PARTY_NAMES[party];
        return {level: "stalled", party, ms: flow.stalled_ms, text: `waits for ${whom}: ${time(flow.stalled_ms)}`};
    }
    const party = v?.party ?? null;
    if (v && v.share >= SLOW_SHARE && flow.age_ms >= SLOW_AGE_MS) {
        const who = party === "stage" ? `the stage ${v.stage}` : PARTY_NAMES[party];
        return {level: "slow", party, ms: 0, text: `slowed by ${who}: ${percent(v.share)} of the time`};
    }
    const doing = {head: "is being read", queue: "waits to be admitted", connect: "connects to the upstream",
                   send: "sends the request", wait: "waits for the answer", linger: "says goodbye", tunnel: "is open"};
    return {level: "fine", party: null, ms: 0, text: doing[flow.phase] ?? "moves"};
}

export const wholeTarget = flow => [flow.method, flow.target].filter(Boolean).join(" ") || flow.kind;

// What the flow costs, each with a mood: "good", "bad" or "plain".
export function costs(flow, verdict) {
    const bad = verdict.level === "stalled" ? "bad" : "plain";
    const all = [];
    if (flow.held_bytes > 0 || flow.held_limit_bytes > 0)
        all.push([flow.held_bytes ? bad : "plain", `holds ${bytes(flow.held_bytes)}` + (flow.held_limit_bytes ? ` of ${bytes(flow.held_limit_bytes)}` : "")]);
    if (flow.hold_ms != null) {
        const what = flow.source ? "database connection" : "upstream connection";
        if (!flow.holding) all.push(["good", `${what} given back after ${time(flow.hold_ms)}`]);
        else all.push([verdict.level === "stalled" ? "bad" : "plain", `keeps ${flow.source ? "a" : "an"} ${what} for ${time(flow.hold_ms)}`]);
    }
    return all;
}

// Who stands at an end of a lane: "client", "upstream" or "database"; "stage" for what is between.
export function partyOf(stage, direction, flow) {
    if (stage.side === "stage") return "stage";
    const far = flow.source ? "database" : flow.kind === "static" ? "stage" : "upstream";
    return (stage.side === "sink") === (direction === "down") ? "client" : far;
}

// Whom a stage waits for: a party, "work" (nobody) or "done".
export function waitsFor(stage, index, lane, flow) {
    if (stage.state === "done") return "done";
    if (stage.state === "working") return "work";
    const v = lane.verdict, forward = stage.state === "waiting_for_consumer";
    if (v && (forward ? v.index > index : v.index < index)) return v.party;
    const stages = lane.stages;
    return partyOf(forward ? stages[stages.length - 1] : stages[0], lane.direction, flow);
}

// What is written below a stage's vessel.
export function stageWords(stage, index, lane, flow, verdict) {
    const v = lane.verdict, party = partyOf(stage, lane.direction, flow);
    const culprit = v && v.index === index && verdict.level !== "fine";
    if (culprit && v.stalled_ms > 0) {
        const nothing = {client: lane.direction === "down" ? "takes nothing" : "sends nothing", upstream: lane.direction === "down" ? "sends nothing" : "takes nothing",
                         database: "gives no rows", stage: "moves nothing"}[party];
        return `${nothing}: ${time(v.stalled_ms)}`;
    }
    if (culprit) return `slow: ${percent(v.share)} of the time`;
    const whom = waitsFor(stage, index, lane, flow);
    if (whom === "done" && party === "database" && !flow.holding) return `given back after ${time(flow.hold_ms)}`;
    if (whom === "done") return "done";
    if (whom === "work") return "at work";
    if (whom === party && party !== "stage") return "nothing to do";
    return `waits for ${whom === "stage" && v ? v.stage : PARTY_NAMES[whom]}`;
}

const CAUSES = {complete: "complete", aborted_by_operator: "aborted by hand"};
export const causeWords = cause => CAUSES[cause] ?? cause.replaceAll("_", " ");

function slowest(flows) {
    const slow = flows.map(flow => [flow, judge(flow)]).filter(([, verdict]) => verdict.level === "slow" && verdict.party !== "client");
    slow.sort(([a], [b]) => b.age_ms - a.age_ms);
    return slow.length ? ` ${wholeTarget(slow[0][0])} is ${slow[0][1].text}.` : "";
}

// The one sentence that says how things are, and what that costs.
export function headline(overview, flows, wholeList) {
    const stalled = overview.routes.reduce((sum, route) => sum + route.stalled, 0);
    const judged = flows.map(flow => [flow, judge(flow)]).filter(([, verdict]) => verdict.level === "stalled");
    judged.sort(([, a], [, b]) => b.ms - a.ms);
    if (overview.draining) return {level: "slow", kind: "draining", text: "The gateway is ending.", more: `${plural(overview.flows, "flow")} still under way.`};
    if (judged.length && wholeList) {
        const [flow, verdict] = judged[0];
        const done = {client: `The client ${flow.client} has taken nothing for ${time(verdict.ms)}.`,
                      upstream: `The upstream ${flow.upstream ?? ""} has sent nothing for ${time(verdict.ms)}.`,
                      database: `The database ${flow.source ?? ""} has given no rows for ${time(verdict.ms)}.`,
                      disk: `The disk has kept a flow waiting for ${time(verdict.ms)}.`,
                      stage: `The stage ${flow.verdict?.stage} has moved nothing for ${time(verdict.ms)}.`}[verdict.party];
        const cost = costs(flow, verdict).map(([, text]) => text).join(", ");
        const others = Math.max(stalled, judged.length) - 1;
        return {level: "stalled", kind: "stalled " + verdict.party, flow: flow.id, text: done,
                more: `${wholeTarget(flow)}: ${cost}.` + (others > 0 ? ` ${others === 1 ? "One more flow is" : `${count(others)} more flows are`} stalled.` : "")};
    }
    if (stalled && !wholeList) return {level: "stalled", kind: "stalled", text: `${plural(stalled, "flow")} ${stalled === 1 ? "is" : "are"} stalled.`, more: ""};
    if (!overview.flows) return {level: "fine", kind: "idle", text: "Nothing is under way.", more: "What flows through the gateway is shown here while it flows."};
    return {level: "fine", kind: "fine", text: "Everything flows.", more: `${plural(overview.flows, "flow")} under way. Nobody keeps one waiting for ${time(overview.stalled_after_ms)}.${slowest(flows)}`};
}
