"use strict";
// What the page asks the server, and what it asks who looks.

import {$} from "./parts.js";

let secret = ""; // in this page alone

export function setSecret(text) {
	secret = text;
}

export function ask(path, set = {}) {
	const headers = {...set.headers};
	if (secret) headers.Authorization = "Bearer " + secret;
	return fetch(path, {...set, headers, cache: "no-store", credentials: "omit", redirect: "error"});
}

export function tell(text, good) {
	$("told").textContent = text;
	$("told").className = good ? "" : "bad";
	$("told").hidden = false;
}

// sure asks whether something is to be done, and where it can be saved, whether it is to be.
function sure(question, savable) {
	$("question").textContent = question;
	$("saving").hidden = !savable;
	$("save").checked = false;
	$("sure").returnValue = "no";
	$("sure").showModal();
	return new Promise((done) => waiting.push(done));
}

// waiting are who has asked: the event of an answer may come when the next question is there.
const waiting = [];
$("sure").addEventListener("close", () => waiting.shift()?.($("sure").returnValue === "yes"));

// change asks for one, where it is wanted, by POST, or another method of set. version of set
// is the one that it is made from; savable, that it may outlive the server's process.
export async function change(question, path, body, set = {}) {
	if (!await sure(question, set.savable)) return;
	const headers = {"Content-Type": "application/json"};
	if (set.version) headers["If-Match"] = '"' + set.version + '"';
	tell("It is being done …", true);
	try {
		const resp = await ask(path + (set.savable && $("save").checked ? "?save=true" : ""),
			{method: set.method || "POST", headers, body: body && JSON.stringify(body)});
		const answer = await resp.json();
		if (!resp.ok) return tell(answer.title + ": " + answer.detail, false);
		tell(became(answer), true);
	} catch (err) {
		tell("It is not known what became of it: " + err.message, false);
	}
}

// became is what was done, in words.
function became(answer) {
	if ("closed" in answer) return "Closed: " + answer.closed;
	if (answer.unchanged) return answer.plugin + ": unchanged";
	if (answer.version) return "Active: " + answer.version;
	return [...(answer.added || []).map((what) => "added " + what),
		...(answer.removed || []).map((what) => "removed " + what)].join(", ") || "Done";
}

// get is what a path says; what is wrong is told.
export async function get(path, form) {
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
