package tlspeers

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/tooltest"
)

// sizes are what clients send and want back, bytes.
var sizes = []int{1, 2, 100, 4095, 4096, 16383, 16384, 16385, 32768, 65535, 65536}

// suites are TLS 1.3's as OpenSSL and as GnuTLS call them.
var suites = map[string]string{
	"TLS_AES_128_GCM_SHA256":       "AES-128-GCM",
	"TLS_AES_256_GCM_SHA384":       "AES-256-GCM",
	"TLS_CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
}

// talk is a client program that sends what it is given, and prints what it gets.
type talk struct {
	t      *testing.T
	in     io.WriteCloser
	out    io.Reader
	cmd    *exec.Cmd
	stderr bytes.Buffer
}

func start(t *testing.T, name string, args ...string) *talk {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	c := &talk{t: t, cmd: exec.CommandContext(ctx, name, args...)}
	c.cmd.Stderr = &c.stderr
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if c.out, err = c.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// send gives the program a piece of its input; it reads it as such, where it has read what
// came before it.
func (c *talk) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, text); err != nil {
		c.fatal(err)
	}
}

func (c *talk) fatal(what any) {
	c.t.Helper()
	_ = c.cmd.Process.Kill() // it may have ended
	_ = c.cmd.Wait()
	c.t.Fatalf("%v\n%s", what, c.stderr.String())
}

// await reads the program's output up to a text, and returns it.
func (c *talk) await(text string) string {
	c.t.Helper()
	var got []byte
	one := make([]byte, 1)
	for !bytes.HasSuffix(got, []byte(text)) {
		if _, err := c.out.Read(one); err != nil {
			c.fatal(fmt.Sprintf("found %q, %v, wanted %q", got, err, text))
		}
		got = append(got, one...)
	}
	return string(got)
}

// echo sends so many bytes, and awaits them. None of them is a command of OpenSSL's.
func (c *talk) echo(n int) {
	c.t.Helper()
	b := make([]byte, n)
	rand.Read(b)
	for i := range b {
		b[i] = '0' + b[i]%10
	}
	text := string(b)
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c.in, text)
		sent <- err
	}()
	got := make([]byte, n)
	if _, err := io.ReadFull(c.out, got); err != nil {
		c.fatal(err)
	}
	if err := <-sent; err != nil || string(got) != text {
		c.fatal(fmt.Sprintf("%d bytes: %v; found %.50q, wanted %.50q", n, err, got, text))
	}
}

// testSizes has each size come back, and the connection end well.
func testSizes(c *talk) {
	c.t.Helper()
	for _, n := range sizes {
		c.echo(n)
	}
	c.end()
}

// end closes the program's input, and returns the rest of its output.
func (c *talk) end() string {
	c.t.Helper()
	if err := c.in.Close(); err != nil {
		c.t.Error(err)
	}
	rest, err := io.ReadAll(c.out)
	if err != nil {
		c.t.Error(err)
	}
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("%v\n%s%s", err, rest, c.stderr.String())
	}
	return string(rest)
}

// inLayers runs a test with a server of each record layer.
func inLayers(t *testing.T, test func(t *testing.T, s *server, address string)) {
	for _, records := range layers {
		t.Run(records, func(t *testing.T) {
			t.Parallel()
			s := serve(t, records)
			test(t, s, fmt.Sprint("localhost:", s.where["port"]))
		})
	}
}

// TestGo: sizes, half-close, and a session that is taken up again.
func TestGo(t *testing.T) {
	inLayers(t, func(t *testing.T, s *server, address string) {
		cfg := &tls.Config{RootCAs: s.Pool, ServerName: "localhost",
			ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		for round := range 2 {
			c, err := tls.Dial("tcp", address, cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			if st := c.ConnectionState(); st.Version != tls.VersionTLS13 || st.DidResume != (round > 0) {
				t.Errorf("round %d: version %x, resumed %v", round, st.Version, st.DidResume)
			}
			var want bytes.Buffer
			sent := make(chan error, 1)
			for _, n := range append([]int{0, 1 << 20}, sizes...) {
				b := make([]byte, n)
				rand.Read(b)
				want.Write(b)
			}
			go func() {
				for b := want.Bytes(); len(b) > 0; {
					n, err := c.Write(b[:min(len(b), 50_000)])
					if err != nil {
						sent <- err
						return
					}
					b = b[n:]
				}
				sent <- c.CloseWrite()
			}()
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, want.Bytes()) {
				t.Errorf("round %d: found %d bytes, %v, wanted %d", round, len(got), err, want.Len())
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
		}
	})
}

// TestOpenSSL: sizes with each suite, key updates, and a session that is taken up again.
func TestOpenSSL(t *testing.T) {
	openssl := tooltest.Find(t, "openssl", "Debian: apt-get install openssl")
	inLayers(t, func(t *testing.T, s *server, address string) {
		args := []string{openssl, "s_client", "-connect", address, "-CAfile", s.CA, "-verify_return_error",
			"-servername", "localhost"}
		client := func(t *testing.T, more ...string) *talk {
			return start(t, args[0], slices.Concat(args[1:], more)...)
		}
		for suite := range suites {
			t.Run(suite, func(t *testing.T) {
				testSizes(client(t, "-quiet", "-no_ign_eof", "-tls1_3", "-ciphersuites", suite))
			})
		}
		t.Run("TLS 1.2", func(t *testing.T) { testSizes(client(t, "-quiet", "-no_ign_eof", "-tls1_2")) })
		t.Run("a client's certificate", func(t *testing.T) {
			testSizes(client(t, "-quiet", "-no_ign_eof", "-cert", s.Cert, "-key", s.Key, "-connect",
				fmt.Sprint("localhost:", s.where["ca"])))
		})
		t.Run("key updates", func(t *testing.T) {
			c := start(t, "sh", slices.Concat([]string{"-c", `exec "$0" "$@" 2>&1`}, args)...)
			for i := range 20 {
				line := fmt.Sprintf("line %d\n", i)
				c.send(line)
				c.await(line)
				c.send("K\n")
				c.await("KEYUPDATE")
				c.send("k\n")
				c.await("KEYUPDATE")
			}
			c.send("the end\n")
			c.await("the end\n")
			c.end()
		})
		t.Run("resumption", func(t *testing.T) {
			session := filepath.Join(t.TempDir(), "session")
			for _, c := range []*talk{client(t, "-sess_out", session), nil} {
				if c == nil {
					c = client(t, "-sess_in", session)
					c.await("Reused, TLSv1.3")
				}
				c.send("hello\n")
				c.await("\nhello\n")
				c.end()
			}
		})
	})
}

// TestOpenSSLServer: sizes with each suite, tickets that nobody wants, and key updates, where the
// reactor is the client.
func TestOpenSSLServer(t *testing.T) {
	openssl := tooltest.Find(t, "openssl", "Debian: apt-get install openssl")
	for _, records := range layers {
		t.Run(records, func(t *testing.T) {
			t.Parallel()
			server := func(t *testing.T, more ...string) *talk {
				c := connectFrom(t, records)
				s := start(t, "sh",
					slices.Concat([]string{"-c", `exec stdbuf -oL "$0" "$@" 2>&1`, openssl, "s_server", "-accept",
						"127.0.0.1:0", "-cert", c.Cert, "-key", c.Key, "-tls1_3", "-naccept", "1"}, more)...)
				s.await("ACCEPT 127.0.0.1:")
				c.connect(t, strings.TrimSpace(s.await("\n")))
				return s
			}
			for suite := range suites {
				t.Run(suite, func(t *testing.T) {
					s := server(t, "-ciphersuites", suite)
					s.await("NOT supported\n")
					testSizes(s)
				})
			}
			t.Run("key updates", func(t *testing.T) {
				s := server(t)
				s.await("NOT supported\n")
				for i := range 20 {
					line := fmt.Sprintf("line %d\n", i)
					s.send(line)
					s.await(line)
					for _, update := range []string{"K\n", "k\n"} {
						s.send(update)
						s.await("SSL_do_handshake -> 1\n")
					}
				}
				s.send("Q\n")
				s.end()
			})
		})
	}
}

// TestGnuTLS: the same.
func TestGnuTLS(t *testing.T) {
	gnutls := tooltest.Find(t, "gnutls-cli", "Debian: apt-get install gnutls-bin")
	inLayers(t, func(t *testing.T, s *server, _ string) {
		client := func(t *testing.T, cipher string, more ...string) (c *talk, log string) {
			log = filepath.Join(t.TempDir(), "log")
			return start(t, gnutls, append([]string{"--port", fmt.Sprint(s.where["port"]), "--x509cafile", s.CA,
				"--logfile", log, "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+" + cipher,
				"localhost"}, more...)...), log
		}
		for _, cipher := range suites {
			t.Run(cipher, func(t *testing.T) {
				c, _ := client(t, cipher)
				testSizes(c)
			})
		}
		t.Run("key updates", func(t *testing.T) {
			c, _ := client(t, "AES-256-GCM", "--inline-commands")
			for i := range 5 { // GnuTLS takes 8 a second
				line := fmt.Sprintf("line %d\n", i)
				c.send(line)
				c.await(line)
				c.send("^rekey^\n")
			}
			c.send("the end\n")
			c.await("the end\n")
			c.end()
		})
		t.Run("resumption", func(t *testing.T) {
			c, log := client(t, "AES-128-GCM", "--resume", "--waitresumption")
			c.send("hello\n")
			c.await("hello\n")
			c.end()
			if text, err := os.ReadFile(log); err != nil ||
				!strings.Contains(string(text), "This is a resumed session") {
				t.Errorf("%v: %s", err, text)
			}
		})
	})
}

// TestPython: Python's own TLS, which is OpenSSL's, and rustls.
func TestPython(t *testing.T) {
	for _, module := range []string{"ssl", "rtls"} {
		t.Run(module, func(t *testing.T) {
			path := python(t, module)
			inLayers(t, func(t *testing.T, s *server, _ string) {
				c := start(t, path, "testdata/client.py", module, fmt.Sprint(s.where["port"]), s.CA)
				if out := c.end(); !strings.HasPrefix(out, "well") {
					t.Error(out)
				}
			})
		})
	}
}
