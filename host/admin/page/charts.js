"use strict";
// The page's charts.

import {$, el, hour, later} from "./parts.js";

const keep = 600; // seconds that charts show
const most = 6; // lines of a chart; the rest are left out

export const charts = [];
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Chart {
	constructor(title, show) {
		this.show = show;
		this.times = [];
		this.lines = new Map(); // name to values
		this.plot = null;
		this.drawn = "";
		this.at = el("div", {className: "plot"});
		this.key = el("ul", {className: "key"});
		this.figure = el("figure", {}, el("figcaption", {}, title), this.at, this.key);
		$("charts").append(this.figure);
		charts.push(this);
	}

	// add takes a second's values, by name.
	add(at, values) {
		this.times.push(at);
		for (const name of values.keys()) {
			if (!this.lines.has(name)) this.lines.set(name, new Array(this.times.length - 1).fill(null));
		}
		for (const [name, line] of this.lines) line.push(values.has(name) ? values.get(name) : null);
		if (this.times.length > keep) {
			this.times.shift();
			for (const [name, line] of this.lines) {
				line.shift();
				if (line.every((v) => v === null)) this.lines.delete(name);
			}
		}
	}

	names() { // those with the most now, or ever
		const weight = (line) => (line.at(-1) ?? -1);
		return [...this.lines].sort((a, b) => weight(b[1]) - weight(a[1]) || (a[0] < b[0] ? -1 : 1))
			.slice(0, most).map(([name]) => name).sort();
	}

	draw() {
		if (this.times.length < 2 || !globalThis.uPlot) return; // one has no span
		const names = this.names();
		const data = [this.times, ...names.map((name) => this.lines.get(name))];
		const drawn = names.join("\n");
		if (!this.plot) {
			this.make(names, null); // its first time takes long: its data are a task of their own
			later(() => this.draw());
		} else if (drawn !== this.drawn) this.make(names, data);
		else this.plot.setData(data);
		this.drawn = drawn;
		names.forEach((name, n) => {
			const v = this.lines.get(name).at(-1);
			const text = name + ": " + (v === null ? "–" : this.show(v));
			const item = this.key.children[n].lastChild;
			if (item.data !== text) item.data = text;
		});
	}

	make(names, data) {
		if (this.plot) this.plot.destroy();
		const axis = {stroke: colour("--dim"), grid: {stroke: colour("--line"), width: 1}, ticks: {show: false}};
		this.plot = new uPlot({
			width: Math.max(120, this.at.clientWidth), height: 170, cursor: {show: false}, legend: {show: false},
			scales: {x: {range: (u, min, max) => [Math.min(min, max - 60), max]}, y: {range: (u, min, max) => [0, max > 0 ? max * 1.1 : 1]}},
			series: [{}, ...names.map((label, n) => ({label, stroke: colour("--s" + n), width: 1.5,
				points: {show: false}}))],
			axes: [{...axis, space: 80, values: (u, at) => at.map(hour)}, {...axis, size: 62, values: (u, at) => at.map(this.show)}],
		}, data, this.at);
		this.key.replaceChildren(...names.map((name, n) => {
			const mark = el("i", {ariaHidden: "true"});
			mark.style.background = "var(--s" + n + ")";
			return el("li", {}, mark, name);
		}));
	}
}

// ready loads the library, and calls then when it is there or can't be had. What that wants of
// the browser takes tens of ms at its first use: the worker has used it.
export function ready(then) {
	const worker = new Worker("page/warm.js");
	const load = () => {
		worker.terminate();
		document.head.append(el("script", {src: "page/uPlot.iife.min.js", onload: then, onerror: then}));
	};
	worker.onmessage = worker.onerror = load;
}

function again() { // another size or scheme
	for (const c of charts) {
		c.drawn = null;
		later(() => c.draw());
	}
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
let resized = 0;
addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(again, 200); });
