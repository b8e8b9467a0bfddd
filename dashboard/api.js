// Asks the admin server. A token, if it wants one, is kept for as long as this tab is open.

const PATIENCE_MS = 10_000; // of silence, after which the stream of events is opened anew

export class Refused extends Error {
    constructor(status, detail) {
        super(detail);
        this.status = status;
    }
}

export const token = {
    get: () => sessionStorage.getItem("headgate.token"),
    set: value => sessionStorage.setItem("headgate.token", value),
};

async function ask(path, how = {}) {
    const headers = {...how.headers};
    if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
    const answer = await fetch(path, {...how, headers, cache: "no-store"});
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, problem.detail ?? answer.statusText);
}

const query = values => new URLSearchParams(Object.entries(values).filter(([, v]) => v !== "" && v != null));

export const flow = async id => (await ask(`api/v1/flows/${encodeURIComponent(id)}`)).json();
export const ended = async limit => (await (await ask(`api/v1/flows/ended?limit=${limit}`)).json()).flows;
export const abort = id => ask(`api/v1/flows/${encodeURIComponent(id)}`, {method: "DELETE"});

export const drain = (upstream, address, on) =>
    ask(`api/v1/upstreams/${encodeURIComponent(upstream)}/endpoints/${encodeURIComponent(address)}/${on ? "drain" : "undrain"}`, {method: "POST"});

// Reads the stream of events until it ends; calls on(name, data) with each. EventSource could not send the token.
async function readEvents(values, on, signal) {
    const stop = new AbortController();
    const end = () => stop.abort();
    signal.addEventListener("abort", end);
    let silence = setTimeout(end, PATIENCE_MS);
    try {
        const answer = await ask(`api/v1/events?${query(values)}`, {headers: {Accept: "text/event-stream"}, signal: stop.signal});
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        for (let rest = "";;) {
            const {done, value} = await reader.read();
            if (done) return;
            clearTimeout(silence);
            silence = setTimeout(end, PATIENCE_MS);
            const events = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
            rest = events.pop();
            for (const event of events) {
                let name = "message", data = "";
                for (const line of event.split("\n")) {
                    if (line.startsWith("event:")) name = line.slice(6).trim();
                    else if (line.startsWith("data:")) data += line.slice(5);
                }
                if (data) on(name, JSON.parse(data));
            }
        }
    } finally {
        clearTimeout(silence);
        signal.removeEventListener("abort", end);
    }
}

// Keeps the stream of events open; returns what closes it. `lost` is called with each end of it, and its error if any.
export function follow(values, on, lost) {
    const stop = new AbortController();
    (async () => {
        for (let pause = 250; !stop.signal.aborted; pause = Math.min(pause * 2, 5000)) {
            let error = null;
            try {
                await readEvents(values, (name, data) => { pause = 250; on(name, data); }, stop.signal);
            } catch (e) {
                error = e;
            }
            if (stop.signal.aborted) return;
            lost(error);
            if (error?.status === 401) return;
            await new Promise(resolve => setTimeout(resolve, pause));
        }
    })();
    return () => stop.abort();
}
