package examples

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/certtest"
	"github.com/wirehost/wirehost/internal/tooltest"
)

// wsServer is the example, with a plugin behind it, on a port of TCP and one of TLS.
type wsServer struct {
	*server
	tcp, tls string
	files    certtest.Files
}

// serveWebsocket has chat or the echo behind it.
func serveWebsocket(t *testing.T, behind string, isolation config.Isolation, settings map[string]any) *wsServer {
	t.Helper()
	s, module := &wsServer{files: certtest.Issue(t)}, build(t, "websocket")
	readSources(t, "websocket/index.html") // which is in the module
	s.server = serve(t, "websocket", func(c *config.Config) {
		p := c.Plugins["websocket"]
		p.Module, p.Isolation, p.Limits.CallbackTime = module, isolation, patience
		all := map[string]any{"messages": "lines", "page": true,
			"timeout": 3600, "ping": 0} // what is tested here is no limit of time
		maps.Copy(all, settings)
		p.Config = all
		c.Plugins["websocket"] = p
		if behind == "chat" {
			c.Plugins[behind] = pluginOf(t, behind)
		} else {
			delete(c.Plugins, "chat")
			p := config.DefaultPlugin()
			p.Module, p.Limits.CallbackTime = "../plugins/echo/echo.wasm", patience
			c.Plugins[behind] = p
		}
		l := &c.Listeners[0]
		l.Chain = []string{"websocket", behind}
		secure := *l
		secure.Endpoint, secure.TLS.Cert, secure.TLS.Key = "tls://127.0.0.1:0", s.files.Cert, s.files.Key
		secure.TLS.HandshakeTimeout = patience
		c.Listeners = append(c.Listeners, secure)
	})
	list := s.Listeners()
	s.tcp, s.tls = strings.TrimPrefix(list[0].String(), "tcp://"), strings.TrimPrefix(list[1].String(), "tls://")
	return s
}

// webSocket is a client that sends what it likes.
type webSocket struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func (s *wsServer) plain(t *testing.T) *webSocket {
	t.Helper()
	return upgrade(t, dial(t, s.tcp).TCPConn)
}

func (s *wsServer) secure(t *testing.T) *webSocket {
	t.Helper()
	return upgrade(t, tls.Client(dial(t, s.tls).TCPConn, &tls.Config{RootCAs: s.files.Pool, ServerName: "localhost"}))
}

// upgrade asks for a WebSocket.
func upgrade(t *testing.T, c net.Conn) *webSocket {
	t.Helper()
	w := &webSocket{c, t, bufio.NewReader(c)}
	w.send("GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	const accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
	for head := ""; !strings.HasSuffix(head, "\r\n\r\n"); {
		line, err := w.r.ReadString('\n')
		if head += line; err != nil || !strings.HasPrefix(head, "HTTP/1.1 101 ") {
			t.Fatalf("found %q, %v", head, err)
		}
		if line == "\r\n" && !strings.Contains(head, accept) {
			t.Fatalf("found %q", head)
		}
	}
	return w
}

// send sends what the server takes at once.
func (w *webSocket) send(text string) {
	w.t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		w.t.Fatal(err)
	}
}

// sendAll sends bytes, some at a time, in a goroutine that ends with the test: a server need not
// take all of it.
func (w *webSocket) sendAll(text string, chop int) {
	if chop == 0 {
		chop = len(text)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for rest := text; rest != ""; {
			n := min(chop, len(rest))
			if _, err := io.WriteString(w, rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
	})
	w.t.Cleanup(func() {
		w.Close()
		wg.Wait()
	})
}

// frame reads a frame of the server; false says that the stream has ended before it.
func (w *webSocket) frame() (first byte, payload string, ok bool) {
	w.t.Helper()
	first, err := w.r.ReadByte()
	if err == io.EOF {
		return 0, "", false
	}
	size, err := w.number(1, err)
	switch size {
	case 126:
		size, err = w.number(2, err)
	case 127:
		size, err = w.number(8, err)
	}
	if err != nil || size > 64<<20 {
		w.t.Fatalf("found a frame of %d bytes, %v", size, err)
	}
	b := make([]byte, size)
	if _, err = io.ReadFull(w.r, b); err != nil {
		w.t.Fatalf("%v in a frame of %d bytes", err, size)
	}
	return first, string(b), true
}

// number reads a number of some bytes, unless there was an error before.
func (w *webSocket) number(size int, err error) (int, error) {
	n := 0
	for range size {
		b, next := w.r.ReadByte()
		if err == nil {
			err = next
		}
		n = n<<8 | int(b)
	}
	return n, err
}

// expect reads a frame.
func (w *webSocket) expect(first byte, payload string) {
	w.t.Helper()
	if f, p, ok := w.frame(); !ok || f != first || p != payload {
		w.t.Fatalf("found %#x %.200q, wanted %#x %.200q", f, p, first, payload)
	}
}

// received is what a client gets up to the end of the stream.
type received struct {
	messages, pongs []string // messages behind t or b
	code            int      // 0: there was no Close frame, 1005: it had none
	why             string
}

func (w *webSocket) rest() (all received) {
	w.t.Helper()
	message := ""
	for {
		first, payload, ok := w.frame()
		if !ok {
			return all
		}
		switch opcode := first &^ 0x80; opcode {
		case 0, 1, 2:
			if opcode != 0 {
				message = " tb"[opcode : opcode+1]
			}
			if message += payload; first&0x80 != 0 {
				all.messages = append(all.messages, message)
			}
		case 8:
			if all.code = 1005; payload != "" {
				all.code, all.why = int(payload[0])<<8|int(payload[1]), payload[2:]
			}
		case 10:
			all.pongs = append(all.pongs, payload)
		}
	}
}

// TestWebsocketReload: both plugins reload in the middle of a message, and of a frame in it.
func TestWebsocketReload(t *testing.T) {
	for _, isolation := range []config.Isolation{config.IsolationConnection, config.IsolationLoop,
		config.IsolationShared} {
		t.Run(string(isolation), func(t *testing.T) {
			s := serveWebsocket(t, "chat", isolation, nil)
			ann, bob := s.plain(t), s.secure(t)
			ann.expect(0x81, "* your name?")
			ann.send(textFrame("ann"))
			ann.expect(0x81, "* welcome, ann; 1 here")
			bob.expect(0x81, "* your name?")
			bob.send(textFrame("bob"))
			bob.expect(0x81, "* ann came in")
			bob.expect(0x81, "* welcome, bob; 2 here")
			ann.expect(0x81, "* bob came in")
			message := strings.Join(fragments("h\u00e4llo, b\u00f6b", 7), pingFrame("still there?"))
			for cut := 5; cut < len(message); cut += 9 {
				ann.send(message[:cut])
				for name, connections := range map[string]int{"websocket": 4, "chat": 2} {
					out, err := s.ReloadPlugin(context.Background(), name, true)
					if err != nil || out.Migrated != connections {
						t.Fatalf("%s: %v, %v, wanted %d connections migrated\n%s", name, out, err, connections, s.log)
					}
				}
				ann.send(message[cut:])
				ann.expect(0x8a, "still there?")
				bob.expect(0x81, "<ann> h\u00e4llo, b\u00f6b")
			}
			bob.send(textFrame("/quit"))
			bob.expect(0x88, "\x03\xe8")
			bob.send(closeFrame(1000, ""))
			if got := bob.rest(); got.code != 0 || got.messages != nil {
				t.Errorf("found %+v behind the Close frame", got)
			}
			ann.expect(0x81, "* bob left")
		})
	}
}

// TestWebsocketSlowReader: who reads nothing is read from no more, and what was taken comes back
// whole, across reloads.
func TestWebsocketSlowReader(t *testing.T) {
	s := serveWebsocket(t, "echo", config.IsolationLoop, map[string]any{"messages": "bytes", "max_message": 64 << 20})
	for name, dial := range map[string]func(*testing.T) *webSocket{"tcp": s.plain, "tls": s.secure} {
		t.Run(name, func(t *testing.T) {
			w := dial(t)
			if err := w.SetDeadline(time.Now().Add(5 * patience)); err != nil {
				t.Fatal(err)
			}
			big := strings.Repeat("0123456789abcde\n", 24<<20/16) // more than sockets hold
			w.sendAll(binaryFrame(big)+closeFrame(1000, ""), 0)
			s.untilConnection(t, "plugin://echo", "paused", func(c host.ConnInfo) bool { return c.State == "paused" })
			if _, err := s.ReloadPlugin(context.Background(), "websocket", true); err != nil {
				t.Fatal(err)
			}
			got := w.rest()
			var all strings.Builder
			for _, m := range got.messages {
				all.WriteString(m[1:])
			}
			if all.String() != big || got.code != 1000 {
				t.Errorf("found %d bytes, or others, and %d, wanted %d", all.Len(), got.code, len(big))
			}
		})
	}
}

// TestWebsocketClient has the clients of Python's websockets talk to an echo.
func TestWebsocketClient(t *testing.T) {
	python := tooltest.Find(t, "python3", "Debian: apt-get install python3")
	if exec.Command(python, "-c", "import websockets").Run() != nil {
		tooltest.Missing(t, "websockets: pip install websockets")
	}
	s := serveWebsocket(t, "echo", config.IsolationLoop, map[string]any{"messages": "frames",
		"subprotocols": []string{"echo"}, "origins": []string{"https://friend.example"}})
	const client = `
import asyncio, ssl, sys, websockets
async def main(url, ca):
	context = ssl.create_default_context(cafile=ca) if url.startswith("wss") else None
	def connect(**more):
		return websockets.connect(url, ssl=context, open_timeout=60, close_timeout=60, ping_interval=None,
			**more)
	async with connect(subprotocols=["other", "echo"], origin="https://friend.example") as w:
		for message in ["", "hello", "h\u00e4llo", b"\0\xff", "x" * 70000, b"y" * 200000]:
			await w.send(message)
			assert await w.recv() == message
		await w.send(["in ", "frag", "ments"])
		assert await w.recv() == "in fragments"
		await (await w.ping(b"ping"))
		await w.close(3001, "bye")
		print(w.subprotocol, w.close_code, w.close_reason)
	try:
		async with connect(origin="https://evil.example"):
			pass
	except websockets.InvalidStatus as e:
		print(e.response.status_code)
asyncio.run(main(*sys.argv[1:]))
`
	for _, url := range []string{"ws://" + s.tcp, "wss://" + s.tls} {
		if out := run(t, "", python, "-c", client, url, s.files.CA); out != "echo 3001 bye\n403\n" {
			t.Errorf("%s: found %q", url, out)
		}
	}
}

// TestWebsocketPage has two pages in Chromium talk to each other through chat, one over TLS.
func TestWebsocketPage(t *testing.T) {
	path := tooltest.Find(t, "chromium", "Debian: apt-get install chromium")
	s := serveWebsocket(t, "chat", config.IsolationLoop, nil)
	ctx, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("ignore-certificate-errors", true), chromedp.WSURLReadTimeout(patience))...)
	ann, _ := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ann); err != nil {
			t.Error(err)
		}
		stop()
	})
	do := func(page context.Context, actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(page, actions...); err != nil {
			said, _ := chromedp.Run(page, chromedp.Evaluate[string](`document.body.textContent`))
			t.Fatalf("%v; the page: %q\n%s", err, said, s.log)
		}
	}
	reads := func(text string) chromedp.Action[chromedp.Void] {
		return chromedp.Poll[chromedp.Void](
			fmt.Sprintf(`document.getElementById("said").textContent.includes(%q)`, text),
			chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(patience))
	}
	types := func(text string) chromedp.Action[chromedp.Void] {
		return chromedp.SendKeys("#line", text+kb.Enter)
	}
	do(ann, chromedp.Navigate("http://"+s.tcp+"/"), reads("* your name?\n"), types("ann"),
		reads("* welcome, ann; 1 here\n"))
	bob, _ := chromedp.NewContext(ann)
	do(bob, chromedp.Navigate("https://"+s.tls+"/"), reads("* your name?\n"), types("bob"),
		reads("* welcome, bob; 2 here\n"))
	do(ann, reads("* bob came in\n"), types("hello, bob"))
	do(bob, reads("<ann> hello, bob\n"))
	for _, name := range []string{"websocket", "chat"} {
		if out, err := s.ReloadPlugin(context.Background(), name, true); err != nil || out.Migrated == 0 {
			t.Fatalf("%s: %v, %v\n%s", name, out, err, s.log)
		}
	}
	do(bob, types("<b>you too</b>"))
	do(ann, reads("<bob> <b>you too</b>\n"), types("/quit"), reads("* closed: 1000; reload the page to come back\n"))
	do(bob, reads("* ann left\n"))
}
