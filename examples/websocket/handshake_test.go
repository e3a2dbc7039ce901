package main

import (
	"strings"
	"testing"
)

// asks is a request that is answered with 101; more are lines of its header.
func asks(more ...string) string {
	lines := append([]string{"GET / HTTP/1.1", "Host: example.org:7090", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"}, more...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func TestRequests(t *testing.T) {
	with := func(old, changed string) string { return strings.Replace(asks(), old, changed, 1) }
	for _, c := range []struct{ name, request, want string }{
		{"as in RFC 6455", asks(), "101 "},
		{"words in other cases, among others", with("Connection: Upgrade", "connection: keep-alive ,\tuPGRADE"),
			"101 "},
		{"what it is, among others", with("Upgrade: websocket", "Upgrade: h2c, WebSocket"), "101 "},
		{"no body", asks("Content-Length: 0"), "101 "},
		{"extensions that nobody agrees to", asks("Sec-WebSocket-Extensions: permessage-deflate"), "101 "},
		{"an origin of its own", asks("Origin: http://Example.org:7090"), "101 "},
		{"an origin of the configuration", asks("Origin: https://friend.example"), "101 "},
		{"another origin", asks("Origin: https://evil.example"), "403 "},
		{"an origin that ends the same", asks("Origin: https://evil.example.org:7090"), "403 "},
		{"another scheme of the origin's", asks("Origin: http://friend.example"), "403 "},
		{"a file's origin", asks("Origin: null"), "403 "},
		{"two origins", asks("Origin: https://friend.example", "Origin: https://friend.example"), "403 "},
		{"POST", with("GET", "POST"), "405 "},
		{"HTTP/1.0", with("HTTP/1.1", "HTTP/1.0"), "505 "},
		{"HTTP/2", with("HTTP/1.1", "HTTP/2.0"), "505 "},
		{"no version", with("GET / HTTP/1.1", "GET /"), "400 "},
		{"no HTTP", with("HTTP/1.1", "ICY/1.1"), "400 "},
		{"two spaces", with("GET /", "GET  /"), "400 "},
		{"no path", with("GET /", "GET x"), "400 "},
		{"no method", with("GET", ""), "400 "},
		{"no Host", with("Host: example.org:7090\r\n", ""), "400 "},
		{"two Hosts", asks("Host: example.org:7090"), "400 "},
		{"an empty Host", with("example.org:7090", ""), "400 "},
		{"no Upgrade", with("Upgrade: websocket\r\n", ""), "426 "},
		{"another Upgrade", with("Upgrade: websocket", "Upgrade: h2c"), "426 "},
		{"no Connection", with("Connection: Upgrade\r\n", ""), "426 "},
		{"another Connection", with("Connection: Upgrade", "Connection: keep-alive"), "426 "},
		{"no version of WebSocket", with("Sec-WebSocket-Version: 13\r\n", ""), "426 "},
		{"version 8", with("Version: 13", "Version: 8"), "426 "},
		{"two versions", asks("Sec-WebSocket-Version: 13"), "426 "},
		{"no key", with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), "400 "},
		{"a short key", with("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ=="), "400 "},
		{"a key that is not base64", with("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZ.=="), "400 "},
		{"a key that is written otherwise", with("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR=="), "400 "},
		{"two keys", asks("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), "400 "},
		{"a body", asks("Content-Length: 5"), "400 "},
		{"a body in chunks", asks("Transfer-Encoding: chunked"), "400 "},
		{"a line without a colon", asks("hello"), "400 "},
		{"a line that goes on", asks("X: 1", " 2"), "400 "},
		{"a space before the colon", asks("X : 1"), "400 "},
		{"a line without a name", asks(": 1"), "400 "},
		{"a line that ends with a line feed", asks("X: 1\nY: 2"), "400 "},
		{"a carriage return in a line", asks("X: 1\rY: 2"), "400 "},
		{"a zero byte", asks("X: \x00"), "400 "},
		{"a control character in the first line", with("GET /", "GET /\x01"), "400 "},
	} {
		cfg := &config{Origins: []string{"https://friend.example"}}
		got := cfg.answer(c.request).String()
		if !strings.HasPrefix(got, "HTTP/1.1 "+c.want) || !strings.Contains(got, "\r\n\r\n") {
			t.Errorf("%s: found %q, wanted %s", c.name, got, c.want)
		}
	}
}

// TestAnswer is the example of RFC 6455, section 1.3.
func TestAnswer(t *testing.T) {
	const want = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
	for offered, chosen := range map[string]string{
		"": "", "Sec-WebSocket-Protocol: soap, superchat, chat": "superchat",
		"Sec-WebSocket-Protocol: soap\r\nSec-WebSocket-Protocol: chat": "chat", "Sec-WebSocket-Protocol: soap": "",
	} {
		want := want
		if chosen != "" {
			want += "Sec-WebSocket-Protocol: " + chosen + "\r\n"
		}
		request := asks()
		if offered != "" {
			request = asks(offered)
		}
		cfg := &config{Subprotocols: []string{"chat", "superchat"}}
		if got := cfg.answer(request).String(); got != want+"\r\n" {
			t.Errorf("%q: found %q", offered, got)
		}
	}
}

// TestPage: where it is asked for, and nowhere else.
func TestPage(t *testing.T) {
	const get, other = "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
	for request, want := range map[string]string{get: "200 OK", other: "426 Upgrade Required"} {
		if got := (&config{Page: true}).answer(request); got.status != want || got.body == page != (want == "200 OK") {
			t.Errorf("%q: found %v", request, got)
		}
	}
	if got := (&config{}).answer(get).status; got != "426 Upgrade Required" {
		t.Errorf("without a page: found %s", got)
	}
}

// FuzzRequest: no request gets more than one answer out of the server.
func FuzzRequest(f *testing.F) {
	f.Add(asks())
	f.Add(asks("Sec-WebSocket-Protocol: a, chat", "Origin: null", "X: \xff"))
	f.Add("GET / HTTP/1.1\r\n\r\n\r\n")
	f.Fuzz(func(t *testing.T, request string) {
		cfg := &config{Subprotocols: []string{"chat"}, Page: true}
		got := cfg.answer(request).String()
		head, body, ok := strings.Cut(got, "\r\n\r\n")
		if !ok || !strings.HasPrefix(head, "HTTP/1.1 ") ||
			strings.Count(head, "HTTP/1.1 ")+strings.Count(body, "\r") > 2 {
			t.Errorf("%q: found %q", request, got)
		}
	})
}
