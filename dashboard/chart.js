// Whom flows waited for, over the last minutes: an area for each party, stacked.

import {html, Component} from "./html.js";
import * as words from "./words.js";

const SECONDS = 300;
const ROUTES_MAX = 200; // whose history is kept; others are in the sum only
const ALL = "";

// One point a second for each route, oldest first: {time, client, upstream, database, stage}.
export class History {
    constructor() {
        this.series = new Map();
        this.version = 0;
    }

    add(time, routes) {
        const sum = Object.fromEntries(words.PARTIES.map(p => [p, 0]));
        for (const r of routes) {
            for (const p of words.PARTIES) sum[p] += r.bottlenecks[p] ?? 0;
            if (r.route == null) continue; // only in the sum
            if (this.series.has(r.route) || this.series.size <= ROUTES_MAX) this.push(r.route, {time, ...r.bottlenecks});
        }
        this.push(ALL, {time, ...sum});
        this.version++;
    }

    push(route, point) {
        if (!this.series.has(route)) this.series.set(route, []);
        const points = this.series.get(route);
        points.push(point);
        while (points.length && points[0].time < point.time - SECONDS) points.shift();
    }

    // For uPlot: times, then the stacked sums, the topmost first.
    stacked(route) {
        const points = this.series.get(route ?? ALL) ?? [];
        const times = points.map(p => p.time), sums = words.PARTIES.map(() => []);
        for (const p of points) {
            let below = 0;
            words.PARTIES.forEach((party, i) => sums[i].push(below += p[party] ?? 0));
        }
        return [times, ...sums.reverse()];
    }

    first() {
        return this.series.get(ALL)?.[0].time ?? 0;
    }

    last(route) {
        return (this.series.get(route ?? ALL) ?? []).at(-1);
    }
}

export class StallChart extends Component {
    componentDidMount() {
        this.make();
        this.observer = new ResizeObserver(([entry]) => {
            const width = Math.floor(entry.contentRect.width);
            if (width && width !== this.plot.width) this.plot.setSize({width, height: 150});
        });
        this.observer.observe(this.box);
    }

    componentWillUnmount() {
        this.observer.disconnect();
        this.plot.destroy();
    }

    componentDidUpdate(before) {
        if (before.dark !== this.props.dark) {
            this.plot.destroy();
            this.make();
        } else {
            this.draw();
        }
    }

    make() {
        const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
        const axis = {stroke: colour("--quiet"), grid: {stroke: colour("--line"), width: 1}, ticks: {show: false}, font: "11px system-ui, sans-serif"};
        const series = words.PARTIES.map(p => ({label: p, stroke: colour(`--${p}`), fill: colour(`--${p}`), width: 1, points: {show: false}})).reverse();
        const ago = (_, ticks) => ticks.map(t => this.now() - t < 1 ? "now" : this.span() < 150 ? `-${Math.round(this.now() - t)} s` : `-${Math.round((this.now() - t) / 30) / 2} min`);
        this.plot = new uPlot({
            width: Math.max(this.box.clientWidth, 50), height: 150, legend: {show: false}, cursor: {show: false}, select: {show: false},
            scales: {x: {time: false, range: () => [this.now() - this.span(), this.now()]}, y: {range: (_, low, high) => [0, Math.max(4, Math.ceil((high ?? 0) * 1.15))]}},
            axes: [{...axis, size: 26, gap: 2, values: ago, splits: () => [0.8, 0.6, 0.4, 0.2, 0].map(s => this.now() - s * this.span())}, {...axis, size: 44, values: (_, ticks) => ticks.map(words.count), incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000]}],
            series: [{}, ...series]}, this.props.history.stacked(this.props.route), this.box);
    }

    now() {
        return this.props.history.last()?.time ?? 0;
    }

    // How many seconds are shown: those there are, in whole minutes.
    span() {
        return Math.min(SECONDS, 60 * Math.max(1, Math.ceil((this.now() - this.props.history.first()) / 60)));
    }

    draw() {
        if (this.drawn === this.props.history.version && this.route === this.props.route) return;
        this.drawn = this.props.history.version;
        this.route = this.props.route;
        this.plot.setData(this.props.history.stacked(this.props.route));
    }

    render({history, route}) {
        const last = history.last(route);
        const now = words.PARTIES.filter(p => last?.[p]).map(p => `${words.count(last[p])} for ${words.PARTY_PLURALS[p]}`).join(", ");
        return html`
            <figure class="chart">
                <figcaption>${route ? `Route ${route}` : "All routes"}: flows that wait, <span class="quiet">now ${now || "none"}</span></figcaption>
                <div class="plot" ref=${box => { if (box) this.box = box; }} role="img" aria-label=${`Flows that wait. Now: ${now || "none"}.`}></div>
            </figure>`;
    }
}
