package reactor

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// TestBucket: what was silent may burst as deep as the bucket is, and then goes at its rate.
func TestBucket(t *testing.T) {
	const rate, depth = 100, time.Second
	var b bucket
	now := time.Hour
	if n := b.left(now, depth, rate); n != rate {
		t.Errorf("found %d left at first, wanted %d", n, rate)
	}
	b.take(now, rate, rate)
	for _, step := range []struct {
		at   time.Duration
		want int64
	}{{now, 0}, {now + 10*time.Millisecond, 1}, {now + depth/2, rate / 2}, {now + depth, rate},
		{now + time.Hour, rate}} {
		if n := b.left(step.at, depth, rate); n != step.want {
			t.Errorf("found %d left after %v, wanted %d", n, step.at-now, step.want)
		}
	}
	if at := b.at(5, depth, rate); at != now+50*time.Millisecond {
		t.Errorf("found that five may go after %v, wanted 50ms", at-now)
	}
	b.take(now, 3*rate, rate) // more than there is
	if n, at := b.left(now+3*time.Second, depth, rate), b.at(1, depth, rate); n != 0 ||
		at != now+3*time.Second+10*time.Millisecond {
		t.Errorf("found %d left after 3s, and one after %v", n, at-now)
	}
}

// TestPeersAreForgotten: whoever has no connection, and has had none for a second, takes no
// memory for long, however many addresses come.
func TestPeersAreForgotten(t *testing.T) {
	l := PeerLimits{Connections: 2, NewPerSecond: 5}.withDefaults()
	list := newPeers(l)
	var live []*peer
	const lasting, second = 1000, 5000
	for n := range uint64(100_000) {
		now := time.Hour + time.Duration(n)*time.Second/second
		var a [16]byte
		a[0], a[1] = 0x20, 1
		binary.BigEndian.PutUint64(a[:], 0x2001<<48|n) // a /64 each
		p, why := list.admit(netip.AddrFrom16(a), now, l)
		if why != refusals {
			t.Fatalf("address %d: refused for %v", n, why)
		}
		if len(live) < lasting {
			live = append(live, p)
		} else {
			p.gone()
		}
		if most := (lasting + second/l.NewPerSecond) * 5 / 2; len(list.of) > most || len(list.list) != len(list.of) {
			t.Fatalf("found %d peers, %d listed, wanted at most %d", len(list.of), len(list.list), most)
		}
	}
	for n, p := range live { // they are still counted
		if list.of[p.addr] != p || p.live.Load() != 1 {
			t.Fatalf("connection %d: its peer was forgotten", n)
		}
	}
}

// TestPeersAreNetworks: the prefixes say who is the same.
func TestPeersAreNetworks(t *testing.T) {
	l := PeerLimits{Connections: 1, IPv4: 24}.withDefaults()
	list := newPeers(l)
	for _, step := range []struct {
		address string
		want    refusal
	}{
		{"192.0.2.1", refusals}, {"192.0.2.255", refusedPeerConnections}, {"::ffff:192.0.2.3", refusedPeerConnections},
		{"192.0.3.1", refusals}, {"2001:db8::1", refusals}, {"2001:db8::ffff:1", refusedPeerConnections},
		{"2001:db8:0:1::1", refusals}, {"fe80::1%lo", refusals}, {"fe80::2%eth0", refusedPeerConnections},
	} {
		if _, why := list.admit(netip.MustParseAddr(step.address), time.Hour, l); why != step.want {
			t.Errorf("%s: found %d, wanted %d", step.address, why, step.want)
		}
	}
}

// BenchmarkAdmit is what a limit for each peer adds to an accept, beside asking for the
// address.
func BenchmarkAdmit(b *testing.B) {
	l := PeerLimits{Connections: 1 << 30, NewPerSecond: 1 << 20}.withDefaults()
	for _, many := range []int{1, 100_000} {
		b.Run(map[int]string{1: "one", 100_000: "many"}[many], func(b *testing.B) {
			list := newPeers(l)
			b.ReportAllocs()
			n := uint32(0)
			for b.Loop() {
				n++
				var a [4]byte
				binary.BigEndian.PutUint32(a[:], n%uint32(many))
				p, _ := list.admit(netip.AddrFrom4(a), time.Duration(n)*10*time.Microsecond, l)
				p.gone()
			}
		})
	}
}
