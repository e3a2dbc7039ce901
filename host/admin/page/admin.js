"use strict";
// What an administration's page has beside a monitor's.

import {$, el, bytes, time, later, Table, buttons, col, number} from "./parts.js";
import {change, get} from "./ask.js";

function form(id, submitted) {
	$(id).addEventListener("submit", (e) => {
		e.preventDefault();
		submitted($(id));
	});
}

// administer shows it. names gives those of the plugins.
export function administer(names) {
	$("admin").hidden = false;
	const peers = new Table("Connections", "There is none, or nobody has looked.", [
		col("Connection", (c) => c.id), col("Peer", (c) => c.peer), col("Version", (c) => c.version),
		col("State", (c) => c.state), number("Age", (c) => time(c.age_seconds)),
		number("Idle", (c) => time(c.idle_seconds)), number("In", (c) => bytes(c.bytes_in)),
		number("Out", (c) => bytes(c.bytes_out)), number("Queued", (c) => bytes(c.bytes_queued)),
		buttons((c) => [["Close", "Close " + c.id, () => change("Close " + c.id + " of " + c.peer + "?",
			"v1/connections/close", {ids: [c.id]})]]),
	], $("peerlist"));
	form("peers", async (f) => {
		const resp = await get("v1/connections?limit=50&sort=" + encodeURIComponent(f.sort.value), f);
		if (resp) peers.set((await resp.json()).connections, (c) => c.id);
	});
	form("load", (f) => {
		const section = {module: f.module.value};
		if (f.endpoint.value) section.listener = {endpoint: f.endpoint.value};
		change("Load " + f.module.value + " as " + f.named.value + "?", "v1/plugins/" + encodeURIComponent(f.named.value),
			section, {savable: true});
	});
	for (const [id, path] of [["log", "v1/log"], ["stacks", "debug/pprof/goroutine?debug=1"]]) {
		form(id, async (f) => {
			const resp = await get(path, f);
			if (!resp) return;
			const text = await resp.text();
			const pre = f.nextElementSibling;
			fill(pre, id === "log" ? text.slice(-65536) : text.slice(0, 65536));
			pre.hidden = false;
			for (const turn of [0, 1]) { // what is not seen has a height that is guessed
				if (id === "log") later(() => { pre.scrollTop = pre.scrollHeight + turn; });
			}
		});
	}
	const choose = $("profile").plugin;
	choose.addEventListener("focus", refresh);
	refresh();
	function refresh() {
		const had = choose.value;
		choose.replaceChildren(...names().map((name) => el("option", {}, name)));
		if (had) choose.value = had;
	}
	form("profile", async (f) => {
		if (!f.plugin.value) return;
		$("frame").textContent = "It takes " + f.for.value + " …";
		const resp = await get("v1/plugins/" + encodeURIComponent(f.plugin.value) + "/profile?as=tree&for=" +
			encodeURIComponent(f.for.value), f);
		$("frame").textContent = "";
		if (resp) flame(await resp.json());
	});
}

// fill shows a long text, of which the browser lays out the parts that are seen.
function fill(pre, text) {
	const lines = text.match(/[^\n]*\n|[^\n]+$/g) || [];
	pre.replaceChildren();
	for (let n = 0; n < lines.length; n += 40) pre.append(el("div", {}, lines.slice(n, n + 40).join("")));
}

// flame draws a profile as nested boxes; one that is pressed is as wide as all.
function flame(profile) {
	const box = $("flame");
	const all = profile.root.total || 0;
	if (!all) {
		box.replaceChildren();
		$("frame").textContent = "The plugin's guests took no time that was seen.";
		return;
	}
	const parts = (f) => f.name + ": " + (100 * f.total / all).toFixed(1) + " %, itself " +
		(100 * f.self / all).toFixed(1) + " %";
	let newest; // what is being drawn
	const zoom = (top) => {
		const boxes = newest = [];
		let deepest = 0;
		const queue = [[top, 0, 0, 1]]; // level by level, so that the widest are there
		for (const [f, depth, left, width] of queue) {
			if (boxes.length >= 300) break;
			deepest = depth;
			const b = el("button", {type: "button", className: "h" + f.name.length % 5, title: parts(f)}, f.name);
			b.setAttribute("role", "treeitem");
			b.setAttribute("aria-level", depth + 1);
			b.style.left = 100 * left + "%";
			b.style.width = 100 * width + "%";
			b.style.top = 20 * depth + "px";
			b.addEventListener("click", () => { zoom(f === top ? profile.root : f); box.firstChild.focus(); });
			b.addEventListener("focus", () => { $("frame").textContent = parts(f); });
			b.addEventListener("mouseenter", () => { $("frame").textContent = parts(f); });
			boxes.push(b);
			let at = left;
			for (const child of f.children || []) {
				const part = width * child.total / f.total;
				if (part >= 0.002) queue.push([child, depth + 1, at, part]);
				at += part;
			}
		}
		box.replaceChildren(boxes.shift());
		while (boxes.length) {
			const some = boxes.splice(0, 40);
			later(() => { if (newest === boxes) box.append(...some); });
		}
		box.style.height = 20 * (deepest + 1) + "px";
		$("frame").textContent = parts(top);
	};
	zoom(profile.root);
}
