"use strict";
// The page of a monitor and of an administration.

import {$, el, bytes, clock, count, time, quantile, later, busy, Table, buttons, col, number} from "./parts.js";
import {Chart, charts, ready} from "./charts.js";
import {ask, change, setSecret} from "./ask.js";
import {administer} from "./admin.js";

const perVersion = new Chart("Connections by version", count);
const traffic = new Chart("Throughput, each second", bytes);
const callbacks = new Chart("Time in callbacks by plugin, each second", time);
const slowest = new Chart("Callbacks by plugin: 99 of 100 took at most", time);
const trapping = new Chart("Traps by plugin, each second", count);
const lag = new Chart("Turns of the event loops: 99 of 100 took at most", time);

let administration = false;
const pathOf = (plugin) => "v1/plugins/" + encodeURIComponent(plugin.name);
const pinned = (v) => v.state === "active" && v.of.pinned_at;
const onAdmin = (list) => buttons((x) => (administration ? list(x) : []));

const plugins = new Table("Plugins", "No plugin runs.", [
	col("Plugin", (p) => p.name),
	col("State", (p) => (p.stale ? [p.state + ", holds a loop", "bad"] : [p.state, p.state === "active" ? "good" : "bad"])),
	col("Version", (p) => p.active),
	number("Connections", (p) => count(p.connections)),
	number("Instances", (p) => count(p.instances)),
	number("Callbacks/s", (p) => count(p.calls)),
	number("99 of 100 under", (p) => time(p.p99)),
	number("Over 10 ms", (p) => count(p.callbacks.slow)),
	number("Traps", (p) => [count(p.trapped), p.trapped ? "bad" : ""]),
	number("Memory", (p) => bytes(p.memory_bytes)),
	col("Last failure", (p) => (p.last_failure_at ? clock(p.last_failure_at) + " " : "") + (p.last_failure || ""), "long"),
	onAdmin((p) => [
		["Reload", "Reload " + p.name, () => change("Reload " + p.name + "?",
			pathOf(p) + "/reload", {}, {version: p.active})],
		["Close", "Close the connections of " + p.name, () => change("Close all " + p.connections +
			" connections of " + p.name + "?", "v1/connections/close", {plugin: p.name})],
		["Unload", "Unload " + p.name, () => change("Unload " + p.name + "? New connections find nothing of it; those " +
			"that are there may end.", pathOf(p), null, {method: "DELETE", version: p.active, savable: true})],
	]),
]);
const versions = new Table("Versions", "No version is loaded.", [
	col("Version", (v) => v.name), col("State", (v) => v.state + (pinned(v) ? ", pinned" : "")),
	col("Since", (v) => clock(v.since)),
	number("Connections", (v) => count(v.connections)), number("Instances", (v) => count(v.instances)),
	onAdmin((v) => {
		if (pinned(v)) return [["Unpin", "Unpin " + v.name, () => change("Unpin " + v.name + (v.of.pinned_by ? ", which " +
			v.of.pinned_by + " pinned" : "") + ", and go over to the configured module?", pathOf(v.of) + "/pin", null,
		{method: "DELETE", version: v.of.active})]];
		if (v.state === "active") return [];
		return [["Use", "Use " + v.name + " and pin it", () => change("Go over from " + (v.of.active || "nothing") + " to " +
			v.name + ", and pin it?", pathOf(v.of) + "/use", {version: v.name}, {version: v.of.active})]];
	}),
]);
const changes = new Table("What became of changes", "There has been no change.", [
	col("When", (c) => clock(c.at)), col("Plugin", (c) => c.plugin),
	col("Outcome", (c) => [c.outcome + (c.pinned ? ", pinned" : ""), c.outcome === "refused" ? "bad" : ""]),
	col("Version", (c) => c.version || ""), col("Before", (c) => c.previous || ""), col("By", (c) => c.by || ""),
	col("", (c) => c.detail || "", "long"),
]);
// whom is for whom a listener's connections are.
const whom = (l) => [l.chain ? l.chain.join(" → ") : l.plugin, l.route ? "route: " + l.route.join(", ") : ""]
	.filter(Boolean).join("; ");
const listeners = new Table("Listeners", "Nothing is listened on.", [
	col("Endpoint", (l) => l.endpoint), col("Plugin", whom),
	number("Connections", (l) => count(l.connections)), number("Accepted", (l) => count(l.accepted)),
	number("Refused", (l) => [count(l.refused), l.refused ? "bad" : ""]),
]);
const metrics = new Table("Plugins' own metrics", "No plugin records any.", [
	col("Metric", (m) => m.name), col("Plugin", (m) => m.plugin), col("Kind", (m) => m.kind),
	number("Value", (m) => (m.counts ? count(total(m.counts)) + " times" : count(m.value))),
	number("Each second", (m) => (m.kind === "gauge" ? "" : count(m.rate))),
	number("On average", (m) => (m.counts && total(m.counts) ? count(m.value / total(m.counts)) : "")),
	number("99 of 100 under", (m) => (m.p99 ? count(m.p99) : "")),
]);
const certificates = new Table("Certificates", "There is none.", [
	col("Names", (c) => c.names.join(", ") || "–"),
	col("Expires", (c) => {
		if (!c.not_after) return ["not known", "bad"];
		const left = (Date.parse(c.not_after) - Date.now()) / 1000;
		if (left <= 0) return [clock(c.not_after) + ", over", "bad"];
		return [clock(c.not_after) + ", in " + time(left), left < 14 * 86400 ? "bad" : ""];
	}),
	col("State", (c) => (c.loaded ? (c.err ? ["an old one is served", "bad"] : ["loaded", "good"]) : ["not loaded", "bad"])),
	col("File", (c) => c.cert || ""), col("", (c) => c.err || "", "long"),
]);

// ---- each second

const figures = new Map();
function figure(name, text, bad) {
	let dd = figures.get(name);
	if (!dd) {
		dd = el("dd");
		figures.set(name, dd);
		$("figures").append(el("div", {}, el("dt", {}, name), dd));
	}
	if (dd.textContent !== text) dd.textContent = text;
	dd.className = bad ? "bad" : "";
}

let before = null;
const total = (o) => Object.values(o || {}).reduce((a, b) => a + b, 0);
function setState(text, good) {
	if ($("state").textContent !== text) $("state").textContent = text;
	$("state").className = good ? "good" : "bad";
}

const pluginKey = (p) => p.name + (p.state === "unloading" ? " unloading" : "");
const metricKey = (m) => m.plugin + " " + m.name;

function show(now) {
	const was = before;
	before = now;
	const span = was ? Math.max(0.2, (now.at - was.at) / 1000) : 1;
	const rate = (a, b) => (was && b !== undefined ? Math.max(0, a - b) / span : 0);
	const loop = now.loops[0];
	const loopWas = was ? was.loops[0] : {};
	const old = new Map((was ? was.plugins : []).map((p) => [pluginKey(p), p]));
	now.plugins.sort((a, b) => (pluginKey(a) < pluginKey(b) ? -1 : 1)); // each stays where it is
	for (const p of now.plugins) {
		const o = old.get(pluginKey(p));
		p.trapped = total(p.traps);
		p.calls = rate(total(p.callbacks.counts), o && total(o.callbacks.counts));
		p.p99 = quantile(p.callbacks.counts, o && o.callbacks.counts, now.callback_bounds, 0.99);
		p.busy = rate(p.callbacks.sum_seconds, o && o.callbacks.sum_seconds);
		p.trapRate = rate(p.trapped, o && o.trapped);
	}
	const oldMetrics = new Map((was ? was.metrics : []).map((m) => [metricKey(m), m]));
	for (const m of now.metrics) {
		const o = oldMetrics.get(metricKey(m));
		const of = (m) => (m.counts ? total(m.counts) : m.value);
		m.rate = rate(of(m), o && of(o));
		m.p99 = m.counts ? quantile(m.counts, o && o.counts, now.metric_bounds, 0.99) : 0;
	}
	const turn = quantile(loop.turns, loopWas.turns, now.turn_bounds, 0.99);
	if (!busy()) later( // else the next one is shown
		() => head(now, loop, loopWas, rate, turn),
		() => plugins.set(now.plugins, pluginKey),
		() => versions.set(now.plugins.flatMap((p) => p.versions.map((v) => ({...v, of: p}))), (v) => v.name + v.state),
		() => changes.set(now.changes, (c) => c.at + c.plugin + c.outcome),
		() => listeners.set(now.listeners, (l) => l.endpoint + " " + l.plugin),
		() => metrics.set(now.metrics, metricKey),
		() => certificates.set(now.certificates, (c) => c.cert || c.names.join()),
		...charts.map((c) => () => c.draw()),
	);
	const by = (value) => new Map(now.plugins.map((p) => [p.name, value(p)]));
	perVersion.add(now.at / 1000, new Map(now.plugins.flatMap((p) => p.versions.map((v) => [v.name, v.connections]))));
	if (was) {
		traffic.add(now.at / 1000, new Map([["in", rate(loop.bytes_in, loopWas.bytes_in)],
			["out", rate(loop.bytes_out, loopWas.bytes_out)]]));
		callbacks.add(now.at / 1000, by((p) => p.busy));
		slowest.add(now.at / 1000, by((p) => p.p99));
		trapping.add(now.at / 1000, by((p) => p.trapRate));
		lag.add(now.at / 1000, new Map([["all loops", turn]]));
	}
	if (!administration && now.administration) {
		administration = true;
		administer(() => before.plugins.map((p) => p.name));
	}
}

function head(now, loop, was, rate, turn) {
	setState(now.ready ? (now.overloaded ? "ready, overloaded" : "ready") : "not ready: " + now.unready,
		now.ready && !now.overloaded);
	const text = now.build.version + (now.build.commit ? " " + now.build.commit.slice(0, 12) : "") + ", up since " +
		clock(now.started) + "; configuration " + (now.config_reload.successful ? "read " : "refused ") +
		clock(now.config_reload.at) + (now.plugins_left_out ? "; " + now.plugins_left_out + " plugins are not shown" : "");
	if ($("about").textContent !== text) $("about").textContent = text;
	figure("Connections", count(loop.connections));
	figure("Opened each second", count(rate(loop.opened, was.opened)));
	figure("Lost, ever", count(loop.lost));
	figure("In, each second", bytes(rate(loop.bytes_in, was.bytes_in)));
	figure("Out, each second", bytes(rate(loop.bytes_out, was.bytes_out)));
	figure("Queued", bytes(loop.bytes_queued));
	const trapped = now.plugins.reduce((n, p) => n + p.trapped, 0);
	figure("Traps, ever", count(trapped), trapped > 0);
	figure("Loop lag", loop.late_seconds > 0.1 ? "late " + time(loop.late_seconds) : "≤ " + time(turn), loop.late_seconds > 0.1);
}

// ---- what the server tells

let stream = null;
let wait = 1000;
async function follow() {
	if (stream || document.hidden) return;
	const mine = stream = new AbortController();
	let over = false;
	try {
		const resp = await ask("page/events", {signal: mine.signal});
		if (resp.status === 401) {
			setSecret("");
			$("token").hidden = false;
			$("secret").focus();
			setState("a token is wanted", false);
			over = true;
			return;
		}
		if (!resp.ok) throw new Error((await resp.json()).detail);
		$("token").hidden = true;
		over = await read(resp.body.pipeThrough(new TextDecoderStream()).getReader());
		if (over) setState("others look: reload the page to look again", false);
		else throw new Error("the stream has ended");
	} catch (err) {
		if (mine.signal.aborted) return;
		setState("not connected: " + err.message, false);
	} finally {
		if (stream === mine) stream = null;
		if (!over && !mine.signal.aborted) {
			setTimeout(follow, wait);
			wait = Math.min(2 * wait, 30000);
		}
	}
}

// read shows events until they end, and tells whether the server has said that.
async function read(from) {
	let text = "";
	for (;;) {
		const {value, done} = await from.read();
		if (done) return false;
		text += value;
		for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
			const event = text.slice(0, end);
			if (event.startsWith("event: over")) return true;
			if (event.startsWith("data: ")) show(JSON.parse(event.slice(6)));
			wait = 1000;
		}
	}
}
document.addEventListener("visibilitychange", () => {
	if (!document.hidden) follow();
	else if (stream) {
		stream.abort();
		stream = null;
	}
});
$("token").addEventListener("submit", (e) => {
	e.preventDefault();
	setSecret($("secret").value);
	$("secret").value = "";
	follow();
});

ready(follow);
