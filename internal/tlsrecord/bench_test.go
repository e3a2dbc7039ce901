package tlsrecord

import (
	"crypto/tls"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"
)

// sink takes what crypto/tls writes, and gives what it is to read.
type sink struct {
	wire
	switched bool // the handshake is over: the wire is not used any more
	b        []byte
}

func (s *sink) Write(b []byte) (int, error) {
	if !s.switched {
		return s.wire.Write(b)
	}
	return len(b), nil
}

func (s *sink) Read(b []byte) (int, error) {
	if !s.switched {
		return s.wire.Read(b)
	}
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.b)
	s.b = s.b[n:]
	return n, nil
}

// BenchmarkSeal and BenchmarkOpen do the same records with both layers, in
// turns, and tell ours as a share of crypto/tls's processor time.
func BenchmarkSeal(b *testing.B) {
	eachSize(b, func(b *testing.B, ours *Conn, library *tls.Conn, _ *Conn, _ *sink, plain []byte) {
		dst := make([]byte, 0, ours.SealedLen(len(plain)))
		var took [2]time.Duration
		for b.Loop() {
			start := now(b)
			for range turn {
				dst = ours.Seal(dst[:0], plain)
			}
			middle := now(b)
			for range turn {
				if _, err := library.Write(plain); err != nil {
					b.Fatal(err)
				}
			}
			took[0] += middle - start
			took[1] += now(b) - middle
		}
		report(b, took)
	})
}

// BenchmarkOpen opens as the reactor does, out of one buffer into another.
func BenchmarkOpen(b *testing.B) {
	eachSize(b, func(b *testing.B, ours *Conn, library *tls.Conn, far *Conn, in *sink, plain []byte) {
		two, err := New(far.State()) // seals the same for crypto/tls: both layers have the same keys
		if err != nil {
			b.Fatal(err)
		}
		stream := make([]byte, 0, turn*far.SealedLen(len(plain)))
		again := make([]byte, 0, cap(stream))
		into := make([]byte, MaxRecord)
		var took [2]time.Duration
		for b.Loop() {
			stream = stream[:0]
			for range turn {
				stream = far.Seal(stream, plain)
			}
			start := now(b)
			for rest := stream; len(rest) > 0; {
				n, _ := ours.Next(rest)
				if _, err := ours.Open(into, rest[:n]); err != nil {
					b.Fatal(err)
				}
				rest = rest[n:]
			}
			took[0] += now(b) - start
			in.b = again[:0]
			for range turn {
				in.b = two.Seal(in.b, plain)
			}
			start = now(b)
			for range turn {
				if _, err := io.ReadFull(library, into[:len(plain)]); err != nil {
					b.Fatal(err)
				}
			}
			took[1] += now(b) - start
		}
		report(b, took)
	})
}

const turn = 16 // records at a time by one layer

func report(b *testing.B, took [2]time.Duration) {
	b.Helper()
	per := float64(b.N * turn)
	b.ReportMetric(float64(took[0].Nanoseconds())/per, "ours-ns/op")
	b.ReportMetric(float64(took[1].Nanoseconds())/per, "library-ns/op")
	b.ReportMetric(float64(took[0])/float64(took[1]), "ratio")
	b.ReportMetric(0, "ns/op")
}

func eachSize(b *testing.B, run func(b *testing.B, ours *Conn, library *tls.Conn, far *Conn, in *sink, plain []byte)) {
	b.Helper()
	for i := range suites {
		for _, n := range []int{64, 1024, 16384} {
			b.Run(fmt.Sprintf("%s/%d", tls.CipherSuiteName(suites[i].id), n), func(b *testing.B) {
				onlySuite(b, suites[i].id)
				in := &sink{}
				s := shakeOver(b, false, in)
				ours, _, _ := s.takeOver(b, false)
				far, _, _ := s.takeOver(b, true)
				in.switched = true
				runtime.LockOSThread() // whose time is taken
				defer runtime.UnlockOSThread()
				run(b, ours, s.server, far, in, make([]byte, n))
			})
		}
	}
}

// BenchmarkNew is what a connection's ciphers, keys and all take that are made of its
// secrets, once for each handshake.
func BenchmarkNew(b *testing.B) {
	for i := range suites {
		b.Run(tls.CipherSuiteName(suites[i].id), func(b *testing.B) {
			_, server := pipe(b, suites[i].id)
			state := server.State()
			b.ReportAllocs()
			for b.Loop() {
				c, err := New(state)
				if err != nil {
					b.Fatal(err)
				}
				c.Wipe()
			}
		})
	}
}

// BenchmarkRest is what a record each way costs behind Rest, above what it costs otherwise.
func BenchmarkRest(b *testing.B) {
	for i := range suites {
		b.Run(tls.CipherSuiteName(suites[i].id), func(b *testing.B) {
			_, server := pipe(b, suites[i].id)
			b.ReportAllocs()
			for b.Loop() {
				server.Rest()
				if !server.ready(&server.in) || !server.ready(&server.out) {
					b.Fatal(server.err)
				}
			}
		})
	}
}
