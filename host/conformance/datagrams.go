package conformance

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/internal/transcript"
)

// datagramCases hold a guest that takes datagrams to what such a one is to do, whatever its
// protocol is.
func datagramCases(t *testing.T, p transcript.Plugin, g Guest, tr *transcript.Transcript) {
	if first, answer, ok := tr.FirstDatagram(); ok {
		t.Run("batch", func(t *testing.T) { batch(t, open(t, p, tr), first, answer) })
		t.Run("full buffer", func(t *testing.T) { fullBuffer(t, open(t, p, tr), first, answer) })
		t.Run("senders", func(t *testing.T) { senders(t, open(t, p, tr), p.Config.Isolation, first) })
	}
	if g.Garbage {
		t.Run("garbage", func(t *testing.T) { garbageDatagrams(t, open(t, p, tr)) })
	}
}

// sender is a client's socket.
func sender(t *testing.T, s *transcript.Server, n int) *memnet.DatagramPeer {
	t.Helper()
	p, err := s.Sys().DatagramPeer("udp", fmt.Sprintf("10.0.%d.%d:0", n/250, 1+n%250))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mail(t *testing.T, p *memnet.DatagramPeer, payload []byte) {
	t.Helper()
	if err := p.Send(transcript.Address, payload); err != nil {
		t.Fatal(err)
	}
}

// answers are those that have come to p.
func answers(t *testing.T, p *memnet.DatagramPeer) (list []string) {
	t.Helper()
	for {
		d, err := p.Receive()
		if errors.Is(err, syscall.EAGAIN) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		if from := d.Peer.String(); from != transcript.Address {
			t.Errorf("an answer came from %s, wanted %s", from, transcript.Address)
		}
		list = append(list, string(d.Payload))
	}
}

// together has many send the same at once, so that it comes in batches.
func together(t *testing.T, s *transcript.Server, payload []byte) (list []*memnet.DatagramPeer) {
	t.Helper()
	for n := range 50 {
		p := sender(t, s, n)
		t.Cleanup(p.Close)
		list = append(list, p)
	}
	for _, p := range list {
		mail(t, p, payload)
	}
	s.Settle()
	return list
}

// batch: each record of a batch is answered, to whom it is from.
func batch(t *testing.T, s *transcript.Server, first []byte, answer string) {
	for n, p := range together(t, s, first) {
		if got := answers(t, p); len(got) != 1 || got[0] != answer {
			t.Fatalf("sender %d of a batch: found the answers %q, wanted %q", n, got, answer)
		}
	}
	wantNoTraps(t, s)
}

// fullBuffer: that the system takes a part of a batch's answers, or none, costs no other datagram
// its answer, and nobody gets another's.
func fullBuffer(t *testing.T, s *transcript.Server, first []byte, answer string) {
	for _, takes := range []int{0, 1, 3} {
		s.Sys().LimitSends(takes)
		for n, p := range together(t, s, first) {
			if got := answers(t, p); len(got) > 1 || len(got) == 1 && got[0] != answer {
				t.Fatalf("sender %d, where the system takes %d: found the answers %q", n, takes, got)
			}
		}
		s.Sys().LimitSends(-1)
		s.Settle()
		for n, p := range together(t, s, first) {
			if got := answers(t, p); len(got) < 1 || got[len(got)-1] != answer {
				t.Fatalf("sender %d, when the system takes them again: found the answers %q, wanted %q", n, got, answer)
			}
		}
	}
	wantNoTraps(t, s)
}

// garbageDatagrams: whatever comes, and how much at once, the guest does not trap.
func garbageDatagrams(t *testing.T, s *transcript.Server) {
	for seed := range uint64(seeds) {
		r := rand.New(rand.NewPCG(seed, 0))
		p := sender(t, s, int(seed))
		for range r.IntN(20) {
			b := make([]byte, []int{r.IntN(9), r.IntN(600), r.IntN(65_508)}[r.IntN(3)])
			for n := range b {
				if b[n] = byte(r.Uint32()); r.IntN(3) == 0 {
					b[n] = "\r\n 0123456789:,"[r.IntN(15)]
				}
			}
			mail(t, p, b)
			if r.IntN(2) == 0 {
				s.Settle()
			}
		}
		p.Close() // answers find nobody
		s.Settle()
		if found := traps(t, s.Host()); len(found) > 0 {
			t.Fatalf("seed %d: the guest trapped: %v", seed, found)
		}
	}
}

// senders: those who come and go leave nothing behind.
func senders(t *testing.T, s *transcript.Server, isolation config.Isolation, first []byte) {
	memory := func() uint64 {
		info, err := s.Host().Plugin(transcript.Name)
		if err != nil {
			t.Fatal(err)
		}
		return info.Memory
	}
	var early uint64
	for n := range connections {
		p := sender(t, s, n)
		mail(t, p, first)
		s.Settle()
		p.Close()
		if n == connections/3 {
			early = memory()
		}
	}
	wantNoTraps(t, s)
	if late := memory(); late > early+early/4+slack {
		t.Errorf("isolation %s: linear memory grew from %d to %d bytes over %d senders", isolation, early, late,
			connections)
	}
}

func wantNoTraps(t *testing.T, s *transcript.Server) {
	t.Helper()
	if found := traps(t, s.Host()); len(found) > 0 {
		t.Errorf("the guest trapped: %v", found)
	}
}
