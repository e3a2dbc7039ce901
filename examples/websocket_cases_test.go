package examples

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/wirehost/wirehost/examples/internal/exampletest"
	"github.com/wirehost/wirehost/host/config"
)

// wsCase is a case of the Autobahn test suite (github.com/crossbario/autobahn-testsuite), under its
// number: what is sent, and what must come of it. Those that are fine are closed with 1000.
type wsCase struct {
	id   string
	sent []string // frames
	chop int      // bytes that are sent at a time; 0 is all of it
	want []string // in order: t or b and a message
	pong []string
	code int // of the Close frame that comes, where it is not 1000
}

var maskedFrame = exampletest.Masked

func textFrame(s string) string   { return maskedFrame(0x81, s) }
func binaryFrame(s string) string { return maskedFrame(0x82, s) }
func pingFrame(s string) string   { return maskedFrame(0x89, s) }

func closeFrame(code int, why string) string {
	return maskedFrame(0x88, string([]byte{byte(code >> 8), byte(code)})+why)
}

// fragments is a text of several frames of some bytes.
func fragments(s string, size int) []string {
	var list []string
	for first := byte(0x01); ; first = 0 {
		if len(s) <= size {
			return append(list, maskedFrame(first|0x80, s))
		}
		list, s = append(list, maskedFrame(first, s[:size])), s[size:]
	}
}

// wsCases are all cases of the suite but 12 and 13, which are of an extension; of 9 they have the
// sizes that take no time.
func wsCases() []wsCase {
	list := append(wsFrames(), wsFragments()...)
	list = append(list, wsTexts()...)
	list = append(list, wsCloses()...)
	return append(list, wsSizes()...)
}

func wsFrames() []wsCase {
	var list []wsCase
	add := func(c wsCase) { list = append(list, c) }
	for i, size := range []int{0, 125, 126, 127, 128, 65535, 65536, 65536} {
		chop := 0
		if i == 7 {
			chop = 997
		}
		s, b := strings.Repeat("*", size), strings.Repeat("\xfe", size)
		add(wsCase{id: fmt.Sprintf("1.1.%d", i+1), sent: []string{textFrame(s)}, chop: chop, want: []string{"t" + s}})
		add(wsCase{id: fmt.Sprintf("1.2.%d", i+1), sent: []string{binaryFrame(b)}, chop: chop, want: []string{"b" + b}})
	}
	long, odd := strings.Repeat("\xfe", 125), "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
	for i, payload := range []string{"", "Hello, world!", odd, long} {
		add(wsCase{id: fmt.Sprintf("2.%d", i+1), sent: []string{pingFrame(payload)}, pong: []string{payload}})
	}
	add(wsCase{id: "2.5", sent: []string{pingFrame(long + "\xfe")}, code: 1002})
	add(wsCase{id: "2.6", sent: []string{pingFrame(long)}, chop: 1, pong: []string{long}})
	add(wsCase{id: "2.7", sent: []string{maskedFrame(0x8a, "")}})
	add(wsCase{id: "2.8", sent: []string{maskedFrame(0x8a, "unsolicited")}})
	add(wsCase{id: "2.9", sent: []string{maskedFrame(0x8a, "unsolicited"), pingFrame("payload")},
		pong: []string{"payload"}})
	ten := wsCase{id: "2.10"}
	for i := range 10 {
		ten.pong = append(ten.pong, fmt.Sprint("payload-", i))
		ten.sent = append(ten.sent, pingFrame(ten.pong[i]))
	}
	add(ten)
	ten.id, ten.chop = "2.11", 1
	add(ten)
	const hello = "Hello, world!"
	add(wsCase{id: "3.1", sent: []string{maskedFrame(0x91, hello)}, code: 1002})
	for i := range 3 {
		add(wsCase{id: fmt.Sprintf("3.%d", i+2),
			sent: []string{textFrame(hello), maskedFrame(0xa1+byte(i)<<4, hello), pingFrame("")},
			chop: i / 2, code: 1002})
	}
	add(wsCase{id: "3.5", sent: []string{maskedFrame(0xd2, odd)}, code: 1002})
	add(wsCase{id: "3.6", sent: []string{maskedFrame(0xe2, hello)}, code: 1002})
	add(wsCase{id: "3.7", sent: []string{maskedFrame(0xf8, "")}, code: 1002})
	for n, group := range []byte{0x83, 0x8b} {
		for i := range byte(5) {
			c := wsCase{id: fmt.Sprintf("4.%d.%d", n+1, i+1), code: 1002}
			if i > 1 {
				c.sent = append(c.sent, textFrame(hello))
			}
			c.sent, c.chop = append(c.sent, maskedFrame(group+i, hello[:int(i%2)*13]), pingFrame("")), int(i/4)
			add(c)
		}
	}
	return list
}

func wsFragments() []wsCase {
	whole, begun := fragments("fragment1fragment2", 9), maskedFrame(0, "non-continuation")
	with := []string{whole[0], pingFrame("ping"), whole[1]}
	var five []string
	for i, f := range fragments("fragment1fragment2fragment3fragment4fragment5", 9) {
		if five = append(five, f); i == 1 || i == 3 {
			five = append(five, pingFrame(fmt.Sprint("pongme ", i/2)))
		}
	}
	out := []string{maskedFrame(0, "fragment1"), maskedFrame(0x01, "fragment2"), maskedFrame(0x80, "fragment3")}
	list := []wsCase{
		{id: "5.1", sent: []string{maskedFrame(0x09, "fragment1"), maskedFrame(0x80, "fragment2")}, code: 1002},
		{id: "5.2", sent: []string{maskedFrame(0x0a, "fragment1"), maskedFrame(0x80, "fragment2")}, code: 1002},
	}
	for i, id := range []string{"5.3", "5.4", "5.5"} {
		list = append(list, wsCase{id: id, sent: whole, chop: i / 2, want: []string{"tfragment1fragment2"}})
	}
	for i, id := range []string{"5.6", "5.7", "5.8"} {
		list = append(list, wsCase{id: id, sent: with, chop: i / 2, want: []string{"tfragment1fragment2"},
			pong: []string{"ping"}})
	}
	for i, id := range []string{"5.9", "5.10", "5.11", "5.12", "5.13", "5.14"} {
		first := maskedFrame(0x80, "non-continuation")
		if i >= 3 {
			first = begun
		}
		list = append(list, wsCase{id: id, sent: []string{first, textFrame("Hello, world!")}, chop: i % 3 / 2,
			code: 1002})
	}
	for i, id := range []string{"5.19", "5.20"} {
		list = append(list, wsCase{id: id, sent: five, chop: i, pong: []string{"pongme 0", "pongme 1"},
			want: []string{"tfragment1fragment2fragment3fragment4fragment5"}})
	}
	return append(list,
		wsCase{id: "5.15", sent: append(whole[:2:2], maskedFrame(0, "fragment3"), textFrame("fragment4")), code: 1002},
		wsCase{id: "5.16", sent: append(out, out...), code: 1002},
		wsCase{id: "5.17", sent: []string{maskedFrame(0x80, "fragment1"), out[1], out[2]}, code: 1002},
		wsCase{id: "5.18", sent: []string{out[1], textFrame("fragment2")}, code: 1002})
}

// kuhn are the texts of cases 6.5 to 6.23 in order, most of which are those of Markus Kuhn's
// UTF-8 decoder capability and stress test.
var kuhn = map[string]string{
	"6.5": "68656c6c6f24776f726c64 68656c6c6fc2a2776f726c64 68656c6c6fe282ac776f726c64 " +
		"68656c6c6ff0a4ada2776f726c64 cebae1bdb9cf83cebcceb5",
	"6.6": "ce ceba cebae1 cebae1bd cebae1bdb9 cebae1bdb9cf cebae1bdb9cf83 cebae1bdb9cf83ce cebae1bdb9cf83cebc " +
		"cebae1bdb9cf83cebcce cebae1bdb9cf83cebcceb5",
	"6.7":  "00 c280 e0a080 f0908080",
	"6.8":  "f888808080 fc8480808080",
	"6.9":  "7f dfbf efbfbf f48fbfbf",
	"6.10": "f7bfbfbf fbbfbfbfbf fdbfbfbfbfbf",
	"6.11": "ed9fbf ee8080 efbfbd f48fbfbf f4908080",
	"6.12": "80 bf 80bf 80bf80 80bf80bf 80bf80bf80 80bf80bf80bf 808182838485868788898a8b8c8d8e8f90919293949596979 " +
		"8999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbe",
	"6.13": "c020c120c220c320c420c520c620c720c820c920ca20cb20cc20cd20ce20cf20d020d120d220d320d420d520d620d720d820 " +
		"d920da20db20dc20dd20de20 e020e120e220e320e420e520e620e720e820e920ea20eb20ec20ed20ee20 " +
		"f020f120f220f320f420f520f620 f820f920fa20 fc20",
	"6.14": "c0 e080 f08080 f8808080 fc80808080 df efbf f7bfbf fbbfbfbf fdbfbfbfbf",
	"6.15": "c0e080f08080f8808080fc80808080dfefbff7bfbffbbfbfbffdbfbfbfbf",
	"6.16": "fe ff fefeffff",
	"6.17": "c0af e080af f08080af f8808080af fc80808080af",
	"6.18": "c1bf e09fbf f08fbfbf f887bfbfbf fc83bfbfbfbf",
	"6.19": "c080 e08080 f0808080 f880808080 fc8080808080",
	"6.20": "eda080 edadbf edae80 edafbf edb080 edbe80 edbfbf",
	"6.21": "eda080edb080 eda080edbfbf edadbfedb080 edadbfedbfbf edae80edb080 edae80edbfbf edafbfedb080 " +
		"edafbfedbfbf",
	"6.22": "efbfbe efbfbf f09fbfbe f09fbfbf f0afbfbe f0afbfbf f0bfbfbe f0bfbfbf f18fbfbe f18fbfbf f19fbfbe " +
		"f19fbfbf f1afbfbe f1afbfbf f1bfbfbe f1bfbfbf f28fbfbe f28fbfbf f29fbfbe f29fbfbf f2afbfbe f2afbfbf " +
		"f2bfbfbe f2bfbfbf f38fbfbe f38fbfbf f39fbfbe f39fbfbf f3afbfbe f3afbfbf f3bfbfbe f3bfbfbf f48fbfbe " +
		"f48fbfbf",
	"6.23": "efbfb9 efbfba efbfbb efbfbc efbfbd efbfbe efbfbf",
}

func wsTexts() []wsCase {
	const middle, hello, greek = "middle frame payload", "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!",
		"\u03ba\u1f79\u03c3\u03bc\u03b5"
	bad, far := greek+"\xed\xa0\x80edited", greek+"\xf4\x90\x80\x80edited"
	list := []wsCase{
		{id: "6.1.1", sent: []string{textFrame("")}, want: []string{"t"}},
		{id: "6.1.2", sent: []string{maskedFrame(1, ""), maskedFrame(0, ""), maskedFrame(0x80, "")},
			want: []string{"t"}},
		{id: "6.1.3", sent: []string{maskedFrame(1, ""), maskedFrame(0, middle), maskedFrame(0x80, "")},
			want: []string{"t" + middle}},
		{id: "6.2.1", sent: []string{textFrame(hello)}, want: []string{"t" + hello}},
		{id: "6.2.2", sent: fragments(hello, 12), want: []string{"t" + hello}},
		{id: "6.2.3", sent: fragments(hello, 1), want: []string{"t" + hello}},
		{id: "6.2.4", sent: fragments(greek, 1), want: []string{"t" + greek}},
		{id: "6.3.1", sent: []string{textFrame(bad)}, code: 1007},
		{id: "6.3.2", sent: fragments(bad, 1), code: 1007},
		// Here the rest is never sent: it must be known by then.
		{id: "6.4.1", sent: []string{maskedFrame(1, greek), maskedFrame(0, far[11:15])}, code: 1007},
		{id: "6.4.2", sent: []string{maskedFrame(1, greek+far[11:12]), maskedFrame(0, far[12:13])}, code: 1007},
		{id: "6.4.3", sent: []string{textFrame(far)[:6+11+4]}, code: 1007},
		{id: "6.4.4", sent: []string{textFrame(far)[:6+11+2]}, code: 1007},
	}
	for group, texts := range kuhn {
		for i, s := range strings.Fields(texts) {
			b, _ := hex.DecodeString(s)
			c := wsCase{id: fmt.Sprintf("%s.%d", group, i+1), sent: []string{textFrame(string(b))}, code: 1007}
			if utf8.Valid(b) {
				c.want, c.code = []string{"t" + string(b)}, 0
			}
			list = append(list, c)
		}
	}
	return list
}

func wsCloses() []wsCase {
	const hello = "Hello World!"
	big := strings.Repeat("BAsd7&jh23", 26214)
	list := []wsCase{
		{id: "7.1.1", sent: []string{textFrame(hello)}, want: []string{"t" + hello}},
		{id: "7.1.2", sent: []string{closeFrame(1000, ""), maskedFrame(0x88, "")}},
		{id: "7.1.3", sent: []string{closeFrame(1000, ""), pingFrame("")}},
		{id: "7.1.4", sent: []string{closeFrame(1000, ""), textFrame(hello)}},
		{id: "7.1.5", sent: []string{maskedFrame(1, "fragment1"), closeFrame(1000, ""),
			maskedFrame(0x80, "fragment2")}},
		{id: "7.1.6", sent: []string{textFrame(big), textFrame(hello), closeFrame(1000, ""), pingFrame("")},
			want: []string{"t" + big, "t" + hello}},
		{id: "7.3.1", sent: []string{maskedFrame(0x88, "")}, code: 1005},
		{id: "7.3.2", sent: []string{maskedFrame(0x88, "a")}, code: 1002},
		{id: "7.3.3", sent: []string{closeFrame(1000, "")}},
		{id: "7.3.4", sent: []string{closeFrame(1000, hello)}},
		{id: "7.3.5", sent: []string{closeFrame(1000, strings.Repeat("*", 123))}},
		{id: "7.3.6", sent: []string{closeFrame(1000, strings.Repeat("*", 124))}, code: 1002},
		{id: "7.5.1", sent: []string{closeFrame(1000, "\u03ba\xed\xa0\x80edited")}, code: 1007},
		{id: "7.13.1", sent: []string{closeFrame(5000, "")}, code: 1002},
		{id: "7.13.2", sent: []string{closeFrame(65535, "")}, code: 1002},
	}
	for i, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		list = append(list, wsCase{id: fmt.Sprintf("7.7.%d", i+1), sent: []string{closeFrame(code, "")}, code: code})
	}
	for i, code := range []int{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999} {
		list = append(list, wsCase{id: fmt.Sprintf("7.9.%d", i+1), sent: []string{closeFrame(code, "")}, code: 1002})
	}
	return list
}

func wsSizes() []wsCase {
	s := strings.Repeat("BAsd7&jh23", 1<<20/10)
	list := []wsCase{
		{id: "9.1.3", sent: []string{textFrame(s)}, want: []string{"t" + s}},
		{id: "9.2.3", sent: []string{binaryFrame(s)}, want: []string{"b" + s}},
		{id: "9.3.3, of 1 MiB", sent: fragments(s, 1024), want: []string{"t" + s}},
		{id: "9.5.6", sent: []string{textFrame(s)}, chop: 2048, want: []string{"t" + s}},
		{id: "10.1.1", sent: fragments(s[:65536], 1300), want: []string{"t" + s[:65536]}},
	}
	for i, size := range []int{0, 16, 64, 256, 1024, 4096} {
		c := wsCase{id: fmt.Sprintf("9.7.%d, 100 messages", i+1)}
		for range 100 {
			c.sent, c.want = append(c.sent, textFrame(s[:size])), append(c.want, "t"+s[:size])
		}
		list = append(list, c)
	}
	return list
}

// TestWebsocketCases has the suite's cases go through to an echo, over TCP and TLS.
func TestWebsocketCases(t *testing.T) {
	s := serveWebsocket(t, "echo", config.IsolationLoop, map[string]any{"messages": "frames", "max_message": 2 << 20})
	for name, dial := range map[string]func(*testing.T) *webSocket{"tcp": s.plain, "tls": s.secure} {
		t.Run(name, func(t *testing.T) {
			for _, c := range wsCases() {
				c.run(t, dial(t))
			}
		})
	}
}

func (c wsCase) run(t *testing.T, w *webSocket) {
	t.Helper()
	sent := strings.Join(c.sent, "")
	if c.code == 0 {
		sent += closeFrame(1000, "")
	}
	w.sendAll(sent, c.chop)
	got := w.rest()
	w.Close()
	if c.code == 0 {
		c.code = 1000
	}
	if got.code != c.code {
		t.Errorf("%s: found close code %d (%s), wanted %d", c.id, got.code, got.why, c.code)
	}
	if c.code == 1000 && (!same(got.messages, c.want) || !same(got.pongs, c.pong)) {
		t.Errorf("%s: found %.200q and %.200q, wanted %.200q and %.200q", c.id, got.messages, got.pongs, c.want, c.pong)
	}
}

func same(a, b []string) bool { return fmt.Sprintf("%q", a) == fmt.Sprintf("%q", b) }
