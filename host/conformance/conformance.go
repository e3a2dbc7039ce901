// Package conformance is what any guest, in any language, must pass: Run holds a
// module to the contract of package abi and to the promises that a guest makes,
// with transcripts of its own protocol as the examples of what it is to answer.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/internal/transcript"
)

// Guest is a module and what it is to answer.
type Guest struct {
	Config      config.Plugin // Module, and what the guest needs
	Transcripts []string      // files; each is a Transcript of package transcript
	// Garbage is set where the guest answers bytes that make no sense in an
	// orderly way, as every guest should: it is sent some, and must not trap.
	Garbage bool
	// Datagrams is set where the transcripts are of datagrams: then those are what it is
	// sent. What a transcript begins with is to be answered alike for whoever sends it.
	Datagrams bool
}

// seeds is how many streams of random bytes a guest is sent.
const seeds = 200

// connections is how many a guest serves one after the other. After a third of
// them its memory must have come to rest, but for what a collector's heap moves
// about. With an instance for each connection there is nothing to grow in.
const (
	connections = 3000
	slack       = 512 << 10
)

// Run holds a guest to all of it, in each isolation.
func Run(t *testing.T, g Guest) {
	t.Helper()
	var list []*transcript.Transcript
	for _, file := range g.Transcripts {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tr, err := transcript.Parse(file, string(text))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, tr)
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			p := transcript.Plugin{Config: g.Config}
			p.Config.Isolation, p.Config.Image, p.Config.PageOut = way.isolation, way.image, 0
			for _, tr := range list {
				t.Run("chunks", func(t *testing.T) { chunks(t, p, tr) })
				t.Run("reload", func(t *testing.T) { reload(t, p, tr) })
				if way.image {
					t.Run("paged", func(t *testing.T) { paged(t, p, tr) })
				}
			}
			if g.Datagrams {
				for _, tr := range list {
					datagramCases(t, p, g, tr)
				}
				return
			}
			if g.Garbage {
				t.Run("garbage", func(t *testing.T) { garbage(t, p) })
			}
			t.Run("connections", func(t *testing.T) { many(t, p) })
		})
	}
}

// ways are those in which guests are served: an instance of its own for each connection
// without an image and from one, and instances that connections share, which begin alike
// with either.
var ways = []struct {
	name      string
	isolation config.Isolation
	image     bool
}{
	{"connection", config.IsolationConnection, false},
	{"connection from an image", config.IsolationConnection, true},
	{"loop", config.IsolationLoop, false},
	{"shared", config.IsolationShared, false},
}

// chunks: the stream may be cut anywhere.
func chunks(t *testing.T, p transcript.Plugin, tr *transcript.Transcript) {
	if _, err := transcript.Run(context.Background(), p, tr); err != nil {
		t.Fatal(err)
	}
}

// open starts a guest for a transcript's configuration.
func open(t *testing.T, p transcript.Plugin, tr *transcript.Transcript) *transcript.Server {
	t.Helper()
	if tr != nil {
		p = p.For(tr)
	}
	s, err := transcript.Open(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// reload: a guest that can save its state answers as if nothing had been, when
// it is replaced by itself before each command.
func reload(t *testing.T, p transcript.Plugin, tr *transcript.Transcript) {
	s := open(t, p, tr)
	why := ""
	err := s.RunWhole(tr, func() error {
		s.Settle()
		out, err := s.Host().ReloadPlugin(context.Background(), transcript.Name, true)
		if err != nil {
			return err
		}
		if out.Policy != config.ReloadMigrate {
			why = out.Why
			return errCan
		}
		if len(out.Kept) > 0 {
			return fmt.Errorf("not moved: %v", out.Kept)
		}
		return nil
	})
	if errors.Is(err, errCan) {
		t.Skipf("the guest drains: %s", why)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// paged: an instance that has given its memory back answers as if nothing had been. That
// is done before each command.
func paged(t *testing.T, p transcript.Plugin, tr *transcript.Transcript) {
	const page = 64 << 10 // what an instance has at least that has not
	p.Config.PageOut = time.Millisecond
	s := open(t, p, tr)
	times := 0
	err := s.RunWhole(tr, func() error {
		s.Settle()
		s.Sys().AdvanceSettled(2 * p.Config.PageOut)
		s.Settle()
		info, err := s.Host().Plugin(transcript.Name)
		if err == nil && info.Connections > 0 && info.Memory < page {
			times++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if times == 0 {
		t.Skip("the guest's instances keep their memory")
	}
}

var errCan = errors.New("the guest's state does not move")

func traps(t *testing.T, h *host.Host) map[string]uint64 {
	t.Helper()
	info, err := h.Plugin(transcript.Name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Traps
}

// garbage: whatever comes, whenever the peer goes, the guest does not trap.
func garbage(t *testing.T, p transcript.Plugin) {
	s := open(t, p, nil)
	for seed := range uint64(seeds) {
		r := rand.New(rand.NewPCG(seed, 0))
		c := dial(t, s)
		for range r.IntN(8) {
			b := make([]byte, 1+r.IntN(3000))
			for n := range b {
				if b[n] = byte(r.Uint32()); r.IntN(3) == 0 {
					b[n] = "\r\n 0123456789:,"[r.IntN(15)]
				}
			}
			if _, err := c.Write(b); err != nil && !errors.Is(err, syscall.EAGAIN) {
				break // the guest has closed
			}
			s.Settle()
		}
		if r.IntN(2) == 0 {
			c.Reset()
		} else if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		s.Settle()
		if found := traps(t, s.Host()); len(found) > 0 {
			t.Fatalf("seed %d: the guest trapped: %v", seed, found)
		}
	}
}

func dial(t *testing.T, s *transcript.Server) *memnet.Peer {
	t.Helper()
	c, err := s.Sys().Dial("tcp", transcript.Address)
	if err != nil {
		t.Fatal(err)
	}
	s.Settle()
	return c
}

// many: connections that come and go leave nothing behind.
func many(t *testing.T, p transcript.Plugin) {
	s := open(t, p, nil)
	memory := func() uint64 {
		info, err := s.Host().Plugin(transcript.Name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Connections != 0 || len(info.Traps) > 0 {
			t.Fatalf("%d connections are left; traps: %v", info.Connections, info.Traps)
		}
		if info.Unrecorded > 0 {
			t.Fatalf("%d metrics of its own, or values of them, were refused", info.Unrecorded)
		}
		return info.Memory
	}
	count := connections
	if p.Config.Isolation == config.IsolationConnection {
		count /= 20
	}
	var early uint64
	for n := range count {
		c := dial(t, s)
		if n%2 == 0 {
			c.Reset()
		} else if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		s.Settle()
		if n == count/3 {
			early = memory()
		}
	}
	if late := memory(); late > early+early/4+slack {
		t.Errorf("linear memory grew from %d to %d bytes over %d connections", early, late, count)
	}
}
