package main

import (
	"crypto/sha1" // RFC 6455 wants it, and not to keep a secret
	_ "embed"     // of the page
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// longestHead is how many bytes a request has at most, the empty line included.
const longestHead = 8 << 10

// guid is what is hashed behind the client's key (RFC 6455, section 1.3).
const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

//go:embed index.html
var page string

// answer is what a request gets: 101 makes a WebSocket of the connection, every other ends it.
type answer struct {
	status string // such as 400 Bad Request
	fields string // of its own, in the header, each with its line's end
	body   string
}

const upgraded = "101 Switching Protocols"

func (a answer) String() string {
	if a.status != upgraded {
		a.fields += fmt.Sprintf("Connection: close\r\nContent-Length: %d\r\n", len(a.body))
	}
	return "HTTP/1.1 " + a.status + "\r\n" + a.fields + "\r\n" + a.body
}

// refuse is an answer that says why.
func refuse(status, why string, fields ...string) answer {
	return answer{status, strings.Join(append(fields, "Content-Type: text/plain\r\n"), ""), why + "\n"}
}

// answer is what a request gets that ends with an empty line.
func (c *config) answer(head string) answer {
	method, target, fields, bad := parse(head)
	host, key := fields["host"], fields["sec-websocket-key"]
	switch {
	case bad.status != "":
		return bad
	case method != "GET":
		return refuse("405 Method Not Allowed", "found "+method+", wanted GET", "Allow: GET\r\n")
	case host == "" || strings.ContainsAny(host, ", \t/@"):
		return refuse("400 Bad Request", "found no Host, or several")
	case !strings.HasPrefix(target, "/"):
		return refuse("400 Bad Request", "found a target that is no path")
	case fields["transfer-encoding"] != "" || strings.Trim(fields["content-length"], "0") != "":
		return refuse("400 Bad Request", "found a body, wanted none")
	case !has(fields["upgrade"], "websocket") || !has(fields["connection"], "upgrade"):
		if c.Page && target == "/" {
			return answer{"200 OK", "Content-Type: text/html; charset=utf-8\r\n", page}
		}
		return refuse("426 Upgrade Required", "wanted Upgrade: websocket, Connection: Upgrade",
			"Upgrade: websocket\r\n")
	case fields["sec-websocket-version"] != "13":
		return refuse("426 Upgrade Required", "wanted Sec-WebSocket-Version: 13",
			"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n")
	case !isKey(key):
		return refuse("400 Bad Request", "wanted a Sec-WebSocket-Key of 16 bytes in base64")
	case !c.isWelcome(fields["origin"], host):
		return refuse("403 Forbidden", "found an Origin that is not allowed")
	}
	sum := sha1.Sum([]byte(key + guid))
	ok := answer{status: upgraded, fields: "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n"}
	for _, name := range list(fields["sec-websocket-protocol"]) { // the first that the client wants most
		if slices.Contains(c.Subprotocols, name) {
			ok.fields += "Sec-WebSocket-Protocol: " + name + "\r\n"
			break
		}
	}
	return ok
}

// parse takes a request apart. fields have their names in small letters; what a name says several
// times is one list, so that what may be said once alone is then no valid value.
func parse(head string) (method, target string, fields map[string]string, bad answer) {
	lines := strings.Split(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n")
	first := strings.Split(lines[0], " ")
	if len(first) != 3 || !isToken(first[0]) || !isText(lines[0]) || !strings.HasPrefix(first[2], "HTTP/") {
		return "", "", nil, refuse("400 Bad Request", "wanted METHOD TARGET HTTP/1.1")
	}
	if first[2] != "HTTP/1.1" {
		return "", "", nil, refuse("505 HTTP Version Not Supported", "wanted HTTP/1.1")
	}
	fields = map[string]string{}
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) || !isText(value) {
			return "", "", nil, refuse("400 Bad Request", "found a line in the header that is not NAME: VALUE")
		}
		name, value = strings.ToLower(name), strings.Trim(value, " \t")
		if before, twice := fields[name]; twice {
			value = before + ", " + value
		}
		fields[name] = value
	}
	return first[0], first[1], fields, answer{}
}

// isToken tells whether s is a name (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// isText tells whether s is without control characters.
func isText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// list are the parts of a field's value.
func list(value string) []string {
	parts := strings.Split(value, ",")
	for i := range parts {
		parts[i] = strings.Trim(parts[i], " \t")
	}
	return parts
}

// has tells whether a list has a word, in small letters or capitals.
func has(value, word string) bool {
	return slices.ContainsFunc(list(value), func(s string) bool { return strings.EqualFold(s, word) })
}

func isKey(key string) bool {
	b, err := base64.StdEncoding.Strict().DecodeString(key)
	return err == nil && len(b) == 16
}

// isWelcome tells whether a page from an origin may come: one of this server's own, or of the
// configuration. Only browsers tell an origin.
func (c *config) isWelcome(origin, host string) bool {
	_, from, _ := strings.Cut(origin, "://")
	return origin == "" || strings.EqualFold(from, host) || slices.Contains(c.Origins, origin) ||
		slices.Contains(c.Origins, "*")
}
