"use strict";
// The page of a monitor and of an administration. Everything that the server says becomes
// text nodes: guests and clients may have written it.
(() => {
	const $ = (id) => document.getElementById(id);
	const keep = 600; // seconds that charts show
	const most = 6; // lines of a chart; the rest are one more

	// el makes an element; what is no element among the children becomes text.
	function el(name, set, ...children) {
		const e = document.createElement(name);
		Object.assign(e, set);
		e.append(...children);
		return e;
	}

	// ---- numbers as people read them

	const units = ["", "k", "M", "G", "T", "P"];
	function count(n) {
		let u = 0;
		for (; Math.abs(n) >= 1000 && u < units.length - 1; u++) n /= 1000;
		return (n >= 100 || Number.isInteger(n) ? n.toFixed(0) : n.toPrecision(3)) + units[u];
	}
	const bytes = (n) => {
		let u = 0;
		for (; n >= 1024 && u < units.length - 1; u++) n /= 1024;
		return (u === 0 || n >= 100 ? n.toFixed(0) : n.toPrecision(3)) + " " + units[u].toUpperCase() + (u ? "iB" : "B");
	};
	function time(s) {
		if (s === Infinity) return "over the last bound";
		if (s === 0) return "0";
		if (s < 1e-3) return +(s * 1e6).toPrecision(3) + " µs";
		if (s < 1) return +(s * 1e3).toPrecision(3) + " ms";
		if (s < 120) return +s.toPrecision(3) + " s";
		if (s < 7200) return Math.round(s / 60) + " min";
		return s < 172800 ? Math.round(s / 3600) + " h" : Math.round(s / 86400) + " days";
	}
	const clock = (at) => (Date.parse(at) < 0 ? "–" : new Date(at).toLocaleString());
	const hour = (at) => new Date(at * 1000).toLocaleTimeString([], {hour12: false});

	// quantile is the upper bound of the bucket that has the q-th of what came in between.
	function quantile(now, before, bounds, q) {
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

	const jobs = [];
	function later(...work) {
		if (jobs.push(...work) === work.length) setTimeout(next);
	}
	function next() {
		jobs[0]();
		jobs.shift();
		if (jobs.length) setTimeout(next);
	}

	// ---- charts

	const charts = [];
	const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

	class Chart {
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
			const names = this.names();
			const data = [this.times, ...names.map((name) => this.lines.get(name))];
			const drawn = names.join("\n");
			if (!this.plot || drawn !== this.drawn) this.make(names, data);
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

	const perVersion = new Chart("Connections by version", count);
	const traffic = new Chart("Throughput, each second", bytes);
	const busy = new Chart("Time in callbacks by plugin, each second", time);
	const slowest = new Chart("Callbacks by plugin: 99 of 100 took at most", time);
	const trapping = new Chart("Traps by plugin, each second", count);
	const lag = new Chart("Turns of the event loops: 99 of 100 took at most", time);

	function again() { // another size or scheme
		for (const c of charts) {
			c.drawn = null;
			if (c.times.length) later(() => c.draw());
		}
	}
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
	let resized = 0;
	addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(again, 200); });

	// ---- tables that stay where they are, so that the focus does

	class Table {
		constructor(title, empty, columns, under) {
			this.columns = columns;
			this.rows = new Map();
			this.body = el("tbody");
			this.empty = el("p", {className: "none"}, empty);
			const head = el("tr", {}, ...columns.map((c) => el("th", {scope: "col", className: c.kind || ""}, c.name)));
			this.wide = el("div", {className: "wide", tabIndex: 0}, el("table", {}, el("thead", {}, head), this.body));
			this.wide.setAttribute("role", "region");
			this.wide.setAttribute("aria-label", title);
			this.wide.hidden = true;
			(under || $("tables")).append(el("h2", {}, title), this.empty, this.wide);
		}

		// set shows items; key tells them apart, over time too.
		set(items, key) {
			const seen = new Set();
			items.forEach((item, n) => {
				const k = key(item);
				if (seen.has(k)) return;
				seen.add(k);
				let row = this.rows.get(k);
				if (!row) {
					row = el("tr", {}, ...this.columns.map((c) => el("td", {className: c.kind || ""})));
					this.rows.set(k, row);
				}
				this.columns.forEach((c, i) => this.cell(row.children[i], c, item));
				if (this.body.children[n] !== row) this.body.insertBefore(row, this.body.children[n] || null);
			});
			for (const [k, row] of this.rows) {
				if (seen.has(k)) continue;
				row.remove();
				this.rows.delete(k);
			}
			this.wide.hidden = !items.length;
			this.empty.hidden = !!items.length;
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
	const col = (name, show, kind) => ({name, show, kind});
	const number = (name, show) => col(name, show, "number");

	let administration = false;
	const onAdmin = (list) => ({name: "", buttons: (x) => (administration ? list(x) : [])});

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
				"v1/plugins/" + encodeURIComponent(p.name) + "/reload", {}, p.active)],
			["Close", "Close the connections of " + p.name, () => change("Close all " + p.connections +
				" connections of " + p.name + "?", "v1/connections/close", {plugin: p.name})],
		]),
	]);
	const versions = new Table("Versions", "No version is loaded.", [
		col("Version", (v) => v.name), col("State", (v) => v.state), col("Since", (v) => clock(v.since)),
		number("Connections", (v) => count(v.connections)), number("Instances", (v) => count(v.instances)),
		onAdmin((v) => (v.state === "active" ? [] : [
			["Use", "Use " + v.name, () => change("Go over from " + (v.of.active || "nothing") + " to " + v.name + ", and pin it?",
				"v1/plugins/" + encodeURIComponent(v.of.name) + "/use", {version: v.name}, v.of.active)],
		])),
	]);
	const changes = new Table("What became of changes", "There has been no change.", [
		col("When", (c) => clock(c.at)), col("Plugin", (c) => c.plugin),
		col("Outcome", (c) => [c.outcome + (c.pinned ? ", pinned" : ""), c.outcome === "refused" ? "bad" : ""]),
		col("Version", (c) => c.version || ""), col("Before", (c) => c.previous || ""), col("By", (c) => c.by || ""),
		col("", (c) => c.detail || "", "long"),
	]);
	const listeners = new Table("Listeners", "Nothing is listened on.", [
		col("Endpoint", (l) => l.endpoint), col("Plugin", (l) => l.plugin),
		number("Connections", (l) => count(l.connections)), number("Accepted", (l) => count(l.accepted)),
		number("Refused", (l) => [count(l.refused), l.refused ? "bad" : ""]),
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

	function show(now) {
		const was = before;
		before = now;
		const span = was ? Math.max(0.2, (now.at - was.at) / 1000) : 1;
		const rate = (a, b) => (was && b !== undefined ? Math.max(0, a - b) / span : 0);
		const loop = now.loops[0];
		const loopWas = was ? was.loops[0] : {};
		const old = new Map((was ? was.plugins : []).map((p) => [p.name, p]));
		for (const p of now.plugins) {
			const o = old.get(p.name);
			p.trapped = total(p.traps);
			p.calls = rate(total(p.callbacks.counts), o && total(o.callbacks.counts));
			p.p99 = quantile(p.callbacks.counts, o && o.callbacks.counts, now.callback_bounds, 0.99);
			p.busy = rate(p.callbacks.sum_seconds, o && o.callbacks.sum_seconds);
			p.trapRate = rate(p.trapped, o && o.trapped);
		}
		const turn = quantile(loop.turns, loopWas.turns, now.turn_bounds, 0.99);
		later(
			() => head(now, loop, loopWas, rate, turn),
			() => plugins.set(now.plugins, (p) => p.name + (p.state === "unloading" ? " unloading" : "")),
			() => versions.set(now.plugins.flatMap((p) => p.versions.map((v) => ({...v, of: p}))), (v) => v.name + v.state),
			() => changes.set(now.changes, (c) => c.at + c.plugin + c.outcome),
			() => listeners.set(now.listeners, (l) => l.endpoint + " " + l.plugin),
			() => certificates.set(now.certificates, (c) => c.cert || c.names.join()),
		);
		const by = (value) => new Map(now.plugins.map((p) => [p.name, value(p)]));
		perVersion.add(now.at / 1000, new Map(now.plugins.flatMap((p) => p.versions.map((v) => [v.name, v.connections]))));
		if (was) {
			traffic.add(now.at / 1000, new Map([["in", rate(loop.bytes_in, loopWas.bytes_in)],
				["out", rate(loop.bytes_out, loopWas.bytes_out)]]));
			busy.add(now.at / 1000, by((p) => p.busy));
			slowest.add(now.at / 1000, by((p) => p.p99));
			trapping.add(now.at / 1000, by((p) => p.trapRate));
			lag.add(now.at / 1000, new Map([["all loops", turn]]));
		}
		for (const c of charts) if (c.times.length) later(() => c.draw());
		if (!administration && now.administration) administer();
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

	// ---- asking

	let secret = "";
	function ask(path, set = {}) {
		const headers = {...set.headers};
		if (secret) headers.Authorization = "Bearer " + secret;
		return fetch(path, {...set, headers, cache: "no-store", credentials: "omit", redirect: "error"});
	}

	let stream = null;
	let wait = 1000;
	async function follow() {
		if (stream || document.hidden) return;
		const mine = stream = new AbortController();
		let over = false;
		try {
			const resp = await ask("page/events", {signal: mine.signal});
			if (resp.status === 401) {
				secret = "";
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
		secret = $("secret").value;
		$("secret").value = "";
		follow();
	});

	// ---- administration

	function tell(text, good) {
		$("told").textContent = text;
		$("told").className = good ? "" : "bad";
		$("told").hidden = false;
	}

	// sure asks whether something is to be done.
	function sure(question) {
		$("question").textContent = question;
		$("sure").returnValue = "no";
		$("sure").showModal();
		return new Promise((done) => {
			$("sure").addEventListener("close", () => done($("sure").returnValue === "yes"), {once: true});
		});
	}

	// change asks for one, where it is wanted; version is the one that it is made from.
	async function change(question, path, body, version) {
		if (!await sure(question)) return;
		const headers = {"Content-Type": "application/json"};
		if (version) headers["If-Match"] = '"' + version + '"';
		tell("It is being done …", true);
		try {
			const resp = await ask(path, {method: "POST", headers, body: JSON.stringify(body)});
			const text = await resp.json();
			if (!resp.ok) return tell(text.title + ": " + text.detail, false);
			if ("closed" in text) return tell("Closed: " + text.closed, true);
			tell(text.unchanged ? text.plugin + ": unchanged" : "Active: " + text.version, true);
		} catch (err) {
			tell("It is not known what became of it: " + err.message, false);
		}
	}

	// get is what a path says; what is wrong is told.
	async function get(path, form) {
		const button = form.querySelector("button");
		button.disabled = true;
		try {
			const resp = await ask(path);
			if (resp.ok) return resp;
			const p = await resp.json();
			tell(p.title + ": " + p.detail, false);
		} catch (err) {
			tell(path + ": " + err.message, false);
		} finally {
			button.disabled = false;
		}
		return null;
	}

	function form(id, submitted) {
		$(id).addEventListener("submit", (e) => {
			e.preventDefault();
			submitted($(id));
		});
	}

	function administer() {
		administration = true;
		$("admin").hidden = false;
		const peers = new Table("Connections", "There is none, or nobody has looked.", [
			col("Connection", (c) => c.id), col("Peer", (c) => c.peer), col("Version", (c) => c.version),
			col("State", (c) => c.state), number("Age", (c) => time(c.age_seconds)),
			number("Idle", (c) => time(c.idle_seconds)), number("In", (c) => bytes(c.bytes_in)),
			number("Out", (c) => bytes(c.bytes_out)), number("Queued", (c) => bytes(c.bytes_queued)),
			onAdmin((c) => [["Close", "Close " + c.id, () => change("Close " + c.id + " of " + c.peer + "?",
				"v1/connections/close", {ids: [c.id]})]]),
		], $("peerlist"));
		form("peers", async (f) => {
			const resp = await get("v1/connections?limit=50&sort=" + encodeURIComponent(f.sort.value), f);
			if (resp) peers.set((await resp.json()).connections, (c) => c.id);
		});
		for (const [id, path] of [["log", "v1/log"], ["stacks", "debug/pprof/goroutine?debug=1"]]) {
			form(id, async (f) => {
				const resp = await get(path, f);
				if (!resp) return;
				const text = await resp.text();
				const pre = f.nextElementSibling;
				pre.textContent = id === "log" ? text.slice(-65536) : text.slice(0, 65536);
				pre.hidden = false;
				if (id === "log") pre.scrollTop = pre.scrollHeight;
			});
		}
		const choose = $("profile").plugin;
		choose.addEventListener("focus", fill);
		fill();
		function fill() {
			const had = choose.value;
			choose.replaceChildren(...(before ? before.plugins : []).map((p) => el("option", {}, p.name)));
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
		const zoom = (top) => {
			const boxes = [];
			let deepest = 0;
			const place = (f, depth, left, width) => {
				if (width < 0.002 || boxes.length >= 600) return;
				deepest = Math.max(deepest, depth);
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
				for (const child of f.children || []) {
					place(child, depth + 1, left, width * child.total / f.total);
					left += width * child.total / f.total;
				}
			};
			place(top, 0, 0, 1);
			box.replaceChildren(...boxes);
			box.style.height = 20 * (deepest + 1) + "px";
			$("frame").textContent = parts(top);
		};
		zoom(profile.root);
	}

	follow();
})();
