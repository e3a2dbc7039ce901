"use strict";
// What the page is made of. Everything that the server says becomes text nodes: guests and
// clients may have written it.

export const $ = (id) => document.getElementById(id);

// el makes an element; what is no element among the children becomes text.
export function el(name, set, ...children) {
	const e = document.createElement(name);
	Object.assign(e, set);
	e.append(...children);
	return e;
}

// ---- numbers as people read them

const units = ["", "k", "M", "G", "T", "P"];
export function count(n) {
	let u = 0;
	for (; Math.abs(n) >= 1000 && u < units.length - 1; u++) n /= 1000;
	return (n >= 100 || Number.isInteger(n) ? n.toFixed(0) : n.toPrecision(3)) + units[u];
}
export const bytes = (n) => {
	let u = 0;
	for (; n >= 1024 && u < units.length - 1; u++) n /= 1024;
	return (u === 0 || n >= 100 ? n.toFixed(0) : n.toPrecision(3)) + " " + units[u].toUpperCase() + (u ? "iB" : "B");
};
export function time(s) {
	if (s === Infinity) return "over the last bound";
	if (s === 0) return "0";
	if (s < 1e-3) return +(s * 1e6).toPrecision(3) + " µs";
	if (s < 1) return +(s * 1e3).toPrecision(3) + " ms";
	if (s < 120) return +s.toPrecision(3) + " s";
	if (s < 7200) return Math.round(s / 60) + " min";
	return s < 172800 ? Math.round(s / 3600) + " h" : Math.round(s / 86400) + " days";
}
export const clock = (at) => (Date.parse(at) < 0 ? "–" : new Date(at).toLocaleString());
export const hour = (at) => new Date(at * 1000).toLocaleTimeString([], {hour12: false});

// quantile is the upper bound of the bucket that has the q-th of what came in between.
export function quantile(now, before, bounds, q) {
	const diff = now.map((n, i) => Math.max(0, n - (before ? before[i] : 0)));
	const all = diff.reduce((a, b) => a + b, 0);
	if (!all) return 0;
	let seen = 0;
	for (let i = 0; i < diff.length; i++) {
		seen += diff[i];
		if (seen >= q * all) return i < bounds.length ? bounds[i] : bounds[bounds.length - 1] * 2;
	}
	return 0;
}

// ---- work in small pieces, so that no task holds up the page

let jobs = [];
let asked = false;
let frame = 0; // when the last one was drawn

// later has work done, each in a task of its own, and after some ms of it a frame is drawn: else
// the browser would have to lay out at once what all of it has changed.
export function later(...work) {
	jobs.push(...work);
	if (asked || !jobs.length) return;
	asked = true;
	if (performance.now() < frame + 3) setTimeout(next);
	else requestAnimationFrame(() => {
		frame = performance.now();
		setTimeout(next);
	});
}

// busy tells whether something of it is left to be done.
export const busy = () => jobs.length > 0;

function next() {
	asked = false;
	try {
		jobs.shift()?.();
	} finally {
		later();
	}
}

// ---- tables that stay where they are, so that the focus does

const atOnce = 12; // rows of a table: others are a button away

export class Table {
	constructor(title, empty, columns, under) {
		this.columns = columns;
		this.items = [];
		this.from = 0;
		this.rows = new Map();
		this.body = el("tbody");
		this.empty = el("p", {className: "none"}, empty);
		const head = el("tr", {}, ...columns.map((c) => el("th", {scope: "col", className: c.kind || ""}, c.name)));
		this.wide = el("div", {className: "wide", tabIndex: 0}, el("table", {}, el("thead", {}, head), this.body));
		this.wide.setAttribute("role", "region");
		this.wide.setAttribute("aria-label", title);
		this.wide.hidden = true;
		this.less = this.turn("Before", title, -atOnce);
		this.more = this.turn("After", title, atOnce);
		this.where = el("span", {});
		this.pages = el("p", {className: "pages", hidden: true}, this.less, this.more, this.where);
		(under || $("tables")).append(el("h2", {}, title), this.empty, this.wide, this.pages);
	}

	// turn is a button that shows other rows. Where there are no more, the other one has the focus.
	turn(name, title, by) {
		const b = el("button", {type: "button", ariaLabel: title + ": rows " + name.toLowerCase() + " these"}, name);
		b.addEventListener("click", () => {
			this.from += by;
			this.set(this.items, this.key);
			if (b.disabled) (by < 0 ? this.more : this.less).focus();
		});
		return b;
	}

	// set shows items; key tells them apart, over time too.
	set(items, key) {
		this.items = items;
		this.key = key;
		this.from = Math.max(0, Math.min(this.from, atOnce * Math.floor((items.length - 1) / atOnce)));
		const shown = items.slice(this.from, this.from + atOnce);
		const kept = new Set(shown.map(key));
		for (const [k, row] of this.rows) {
			if (kept.has(k)) continue;
			row.remove();
			this.rows.delete(k);
		}
		shown.forEach((item, n) => this.show(item, key(item), n));
		this.wide.hidden = !items.length;
		this.empty.hidden = !!items.length;
		this.pages.hidden = items.length <= atOnce;
		this.less.disabled = !this.from;
		this.more.disabled = this.from + atOnce >= items.length;
		const where = (this.from + 1) + " to " + (this.from + shown.length) + " of " + items.length;
		if (this.where.textContent !== where) this.where.textContent = where;
	}

	show(item, k, n) {
		let row = this.rows.get(k);
		if (!row) {
			row = el("tr", {}, ...this.columns.map((c) => el("td", {className: c.kind || ""})));
			this.rows.set(k, row);
		}
		this.columns.forEach((c, i) => this.cell(row.children[i], c, item));
		if (this.body.children[n] !== row) this.body.insertBefore(row, this.body.children[n] || null);
	}

	cell(cell, column, item) {
		if (column.buttons) {
			const wanted = column.buttons(item);
			const names = wanted.map((b) => b[0]).join();
			if (cell.dataset.names !== names) {
				cell.dataset.names = names;
				cell.replaceChildren(...wanted.map(([name, label], n) => {
					const b = el("button", {type: "button", ariaLabel: label}, name);
					b.addEventListener("click", () => cell.act[n][2]());
					return b;
				}));
			}
			cell.act = wanted;
			return;
		}
		const [text, kind] = [].concat(column.show(item));
		if (cell.textContent !== text) cell.textContent = text;
		const name = ((column.kind || "") + " " + (kind || "")).trim();
		if (cell.className !== name) cell.className = name;
	}
}
export const col = (name, show, kind) => ({name, show, kind});
export const number = (name, show) => col(name, show, "number");
export const buttons = (list) => ({name: "", buttons: list, kind: "acts"}); // of each: name, label, what it does
