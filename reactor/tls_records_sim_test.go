package reactor_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/internal/tlsrecord"
	"github.com/wirehost/wirehost/reactor"
)

// collecting is a Protocol that keeps what comes, and echoes it where it is to.
type collecting struct {
	reactor.Transport
	buffer []byte
	echo   bool
	limit  uint64 // of records under a key; 0 = as it is
	up     func(*collecting)
	each   func(*collecting) // after each piece
	got    bytes.Buffer
	ended  bool // the peer has closed its side
	told   chan string
}

func (p *collecting) BuildProtocol(reactor.Transport) (reactor.Protocol, error) { return p, nil }
func (p *collecting) ConnectionMade(t reactor.Transport)                        { p.Transport = t }
func (p *collecting) ReceiveBuffer() []byte                                     { return p.buffer }
func (p *collecting) WriteConnectionLost()                                      {}

func (p *collecting) HandshakeCompleted() {
	if p.limit > 0 && !reactor.LimitKeys(p.Transport, p.limit) {
		p.Abort(reactor.Aborted, errors.New("crypto/tls has the connection"))
	}
	if p.up != nil {
		p.up(p)
	}
}

func (p *collecting) ReadConnectionLost() {
	p.ended = true
	p.LoseWriteConnection()
}

func (p *collecting) DataReceived(b []byte) {
	if p.echo {
		p.Write(b)
	} else {
		p.got.Write(b)
	}
	if p.each != nil {
		p.each(p)
	}
}

func (p *collecting) ConnectionLost(r reactor.Reason, err error) {
	p.told <- fmt.Sprintf("%.40q, ended %t, %v, %v", p.got.String(), p.ended, r, err)
}

// collect serves p with TLS in memory, and connects.
func collect(
	t *testing.T, o memnet.Options, cfg reactor.Config, p *collecting,
) (*memnet.Sys, *memnet.Peer, *tls.Config) {
	t.Helper()
	sys := memnet.New(o)
	cfg.Loops, cfg.Sys = 1, sys
	p.told = make(chan string, 1)
	if p.buffer == nil {
		p.buffer = make([]byte, 4<<10)
	}
	_, network, address, client := serveTLS(t, cfg, p)
	peer, err := sys.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	return sys, peer, client
}

// stream is what a client may send, all kinds of records.
func (u *updater) stream() []byte {
	var b []byte
	b = append(b, u.data("one ")...)
	b = append(b, u.record(23, nil)...)
	b = append(b, u.update()...)
	b = append(b, u.record(23, append([]byte("two "), bytes.Repeat([]byte("2"), 60)...))...)
	b = append(b, u.record(21, []byte{1, 90})...) // user_canceled
	b = append(b, u.data("three")...)
	return append(b, u.record(21, []byte{1, 0})...) // close_notify
}

// TestRecordsCutAnywhere: wherever the peer's bytes are cut, and byte by byte, the
// protocol gets the same, whichever layer has the connection.
func TestRecordsCutAnywhere(t *testing.T) {
	want := fmt.Sprintf("%.40q, ended true, %v, <nil>", "one two "+strings.Repeat("2", 60), reactor.Done)
	for _, library := range []bool{false, true} {
		for _, buffer := range []int{1, 7, 4 << 10} {
			t.Run(fmt.Sprintf("library=%t, buffer of %d", library, buffer), func(t *testing.T) {
				for cut, size := 0, 1; cut <= size; cut++ {
					p := &collecting{buffer: make([]byte, buffer)}
					sys, peer, client := collect(t, memnet.Options{}, reactor.Config{LibraryTLS: library}, p)
					u, tc := newUpdater(t, peer.Conn(), client)
					all := u.stream()
					size = len(all)
					pieces := [][]byte{all[:cut], all[cut:]}
					if cut == 0 {
						pieces = nil
						for i := range all {
							pieces = append(pieces, all[i:i+1])
						}
					}
					for _, b := range pieces {
						if _, err := u.Write(b); err != nil {
							t.Fatal(err)
						}
						sys.Settle()
					}
					if _, err := io.ReadAll(tc); err != nil {
						t.Errorf("cut at %d: the client read %v", cut, err)
					}
					if got := <-p.told; got != want {
						t.Fatalf("cut at %d: found %s; wanted %s", cut, got, want)
					}
				}
			})
		}
	}
}

// TestPausedBetweenRecords: what has come together, and is not wanted yet, stays.
func TestPausedBetweenRecords(t *testing.T) {
	for _, buffer := range []int{3, 4 << 10} {
		up := make(chan struct{})
		p := &collecting{buffer: make([]byte, buffer), up: func(*collecting) { close(up) }, each: func(p *collecting) {
			p.PauseProducing()
			p.Loop().CallLater(time.Second, p.ResumeProducing)
		}}
		sys, peer, client := collect(t, memnet.Options{}, reactor.Config{}, p)
		u, tc := newUpdater(t, peer.Conn(), client)
		u.Write(u.stream())
		<-up // the handshake has a time limit too
		for range 40 {
			sys.AdvanceSettled(time.Second)
		}
		if _, err := io.ReadAll(tc); err != nil {
			t.Errorf("the client read %v", err)
		}
		want := fmt.Sprintf("%.40q, ended true, %v, <nil>", "one two "+strings.Repeat("2", 60), reactor.Done)
		if got := <-p.told; got != want {
			t.Errorf("buffer of %d: found %s; wanted %s", buffer, got, want)
		}
	}
}

// counted counts what is read, and gives ahead first.
type counted struct {
	net.Conn
	n     int
	ahead []byte
}

func (c *counted) Read(b []byte) (int, error) {
	if len(c.ahead) > 0 {
		n := copy(b, c.ahead)
		c.ahead = c.ahead[n:]
		return n, nil
	}
	n, err := c.Conn.Read(b)
	c.n += n
	return n, err
}

// TestKeyUpdatesOwedOnce: a peer that asks for keys again and again, and does not take
// what is queued for it, gets one answer, behind that and as soon as it has taken it.
func TestKeyUpdatesOwedOnce(t *testing.T) {
	const much = 96 << 10
	p := &collecting{up: func(p *collecting) { p.Write(make([]byte, much)) }, each: func(p *collecting) {
		if strings.HasSuffix(p.got.String(), "end") {
			p.Write([]byte("end"))
		}
	}}
	sys, peer, client := collect(t, memnet.Options{Buffer: 4 << 10}, reactor.Config{HighWater: 1 << 20}, p)
	c := &counted{Conn: peer.Conn()}
	u, tc := newUpdater(t, c, client)
	before := c.n
	for range 300 {
		u.Write(append(u.update(), u.update()...))
		u.Write(u.data("."))
	}
	sys.Settle()
	if _, err := io.ReadFull(tc, make([]byte, much)); err != nil {
		t.Fatal(err)
	}
	sys.Settle()
	answer := make([]byte, 100)
	if n, err := peer.Read(answer); err == nil { // else tc has read it already
		c.ahead = answer[:n]
		c.n += n
	}
	queued := much + much/tlsrecord.MaxPlain*tlsrecord.Overhead
	if n := c.n - before - queued; n != tlsrecord.Overhead+5 {
		t.Fatalf("found %d bytes behind what was queued, wanted one key update", n)
	}
	u.Write(u.data("end"))
	if b, err := io.ReadAll(io.LimitReader(tc, 3)); err != nil || string(b) != "end" {
		t.Fatalf("read %q, %v", b, err)
	}
}

// TestKeyUpdatesFromBothEnds: both ends change their keys, and ask for others, every few
// records, while both send as fast as they can. Nothing is lost or out of order.
func TestKeyUpdatesFromBothEnds(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			p := &collecting{echo: true, limit: 3 + rnd.Uint64N(20), buffer: make([]byte, 100<<rnd.IntN(9))}
			_, peer, client := collect(t, memnet.Options{Buffer: 200 << rnd.IntN(9)}, reactor.Config{}, p)
			c := peer.Conn()
			rec := takeClient(t, c, client, 3+rnd.Uint64N(20))
			want := make([]byte, 1<<20)
			for i := range want {
				want[i] = byte(rnd.Uint32())
			}
			got := talk(t, c, rec, want, rnd)
			if !bytes.Equal(got, want) {
				t.Errorf("%d bytes came back, of %d, or not the same", len(got), len(want))
			}
		})
	}
}

// takeClient makes a client's handshake with crypto/tls, and takes the connection over.
func takeClient(t *testing.T, c net.Conn, cfg *tls.Config, limit uint64) *tlsrecord.Conn {
	t.Helper()
	var keys bytes.Buffer
	cfg = cfg.Clone()
	cfg.KeyLogWriter = &keys
	tc := tls.Client(c, cfg)
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	secret := func(label string) []byte {
		_, line, _ := strings.Cut(keys.String(), label+" ")
		var random, secret []byte
		if _, err := fmt.Sscanf(line, "%x %x", &random, &secret); err != nil {
			t.Fatal(err)
		}
		return secret
	}
	rec, err := tlsrecord.New(tlsrecord.State{Suite: tc.ConnectionState().CipherSuite, Client: true, Limit: limit,
		In:  tlsrecord.Half{Secret: secret("SERVER_TRAFFIC_SECRET_0")},
		Out: tlsrecord.Half{Secret: secret("CLIENT_TRAFFIC_SECRET_0")}})
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// talk sends all, in pieces, while it reads as much, and returns that.
func talk(t *testing.T, c net.Conn, rec *tlsrecord.Conn, all []byte, rnd *rand.Rand) []byte {
	t.Helper()
	out := make(chan []byte, 4)
	done := make(chan error, 1)
	go func() {
		var err error
		for b := range out {
			if err == nil {
				_, err = c.Write(b)
			}
		}
		done <- err
	}()
	var got, in []byte
	buf := make([]byte, 20<<10)
	for sent := 0; len(got) < len(all); {
		if n := min(1+rnd.IntN(3000), len(all)-sent); n > 0 && sent-len(got) < 32<<10 {
			out <- rec.Seal(nil, all[sent:sent+n])
			sent += n
			continue
		}
		n, err := c.Read(buf)
		if err != nil {
			t.Fatalf("after %d bytes: %v", len(got), err)
		}
		in = append(in, buf[:n]...)
		for {
			n, err := rec.Next(in)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 || n > len(in) {
				break
			}
			plain, err := rec.Open(nil, in[:n])
			if err != nil {
				t.Fatal(err)
			}
			got, in = append(got, plain...), in[n:]
			if b := rec.Answer(nil); len(b) > 0 {
				out <- b
			}
		}
	}
	close(out)
	if err := <-done; err != nil {
		t.Error(err)
	}
	return got
}
