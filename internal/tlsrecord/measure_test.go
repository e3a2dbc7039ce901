package tlsrecord

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"slices"
	"testing"
)

// pipe is two Conns that talk with each other.
func pipe(tb testing.TB, suite uint16) (client, server *Conn) {
	tb.Helper()
	of, err := suiteOf(suite)
	if err != nil {
		tb.Fatal(err)
	}
	a, b := Half{Secret: pattern(of.secret)}, Half{Secret: pattern(of.secret + 1)[1:]}
	client, err = New(State{Suite: suite, Client: true, In: a, Out: b})
	if err != nil {
		tb.Fatal(err)
	}
	server, err = New(State{Suite: suite, In: b, Out: a})
	if err != nil {
		tb.Fatal(err)
	}
	return client, server
}

// TestNoAllocation seals and opens, in place and elsewhere, and takes alerts
// and useless records: for none is anything allocated.
func TestNoAllocation(t *testing.T) {
	for i := range suites {
		client, server := pipe(t, suites[i].id)
		plain := pattern(40000)
		sealed := make([]byte, 0, 2*len(plain))
		into := make([]byte, 0, MaxRecord)
		round := func() {
			sealed = client.Seal(sealed[:0], plain)
			sealed = client.Seal(client.out.seal(sealed, applicationData, nil), plain[:1])
			for rest, n := sealed, 0; len(rest) > 0; rest = rest[n:] {
				n, _ = server.Next(rest)
				dst := into
				if len(rest) < 30000 {
					dst = nil
				}
				if _, err := server.Open(dst, rest[:n]); err != nil {
					t.Fatal(err)
				}
			}
			sealed = server.Answer(sealed[:0])
		}
		if n := testing.AllocsPerRun(100, round); n != 0 {
			t.Errorf("%s: %v allocations a round", tls.CipherSuiteName(suites[i].id), n)
		}
	}
}

// TestHeap measures what a Conn holds of the heap, with all it points to.
func TestHeap(t *testing.T) {
	for i := range suites {
		const n = 2000
		state := func() State { c, _ := pipe(t, suites[i].id); return c.State() }()
		conns := make([]*Conn, n)
		before := heap()
		for i := range conns {
			c, err := New(state)
			if err != nil {
				t.Fatal(err)
			}
			conns[i] = c
		}
		each := (heap() - before) / n
		for _, c := range conns {
			c.Rest()
		}
		rests := (heap() - before) / n
		runtime.KeepAlive(conns)
		t.Logf("%s: %d bytes, %d at rest", tls.CipherSuiteName(suites[i].id), each, rests)
		if each > 2048 || rests > 512 {
			t.Errorf("%s: a connection holds %d bytes, at rest %d, more than 2048 and 512",
				tls.CipherSuiteName(suites[i].id), each, rests)
		}
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestPlaces opens a record to where its plain text fits, and else in place.
func TestPlaces(t *testing.T) {
	client, server := pipe(t, suites[0].id)
	for _, room := range []int{0, 100, 120, 121, 122, 500, MaxPlain} {
		dst := bytes.Repeat([]byte{0xee}, room)
		record := client.Seal(nil, pattern(120))
		plain, err := server.Open(dst[:0], record)
		if err != nil || !bytes.Equal(plain, pattern(120)) {
			t.Fatalf("room for %d: %d bytes, %v", room, len(plain), err)
		}
		there := room >= len(record)-headerSize-tagSize
		if got := &plain[0] == &record[headerSize]; got == there {
			t.Errorf("room for %d: opened in place is %v", room, got)
		}
		if behind := dst[min(room, 121):]; len(behind) > 0 && slices.Max(behind) != slices.Min(behind) {
			t.Errorf("room for %d: bytes behind the record's were written", room)
		}
		if there && &plain[0] != &dst[0] {
			t.Errorf("room for %d: opened elsewhere", room)
		}
	}
	dst := make([]byte, 64)
	if _, err := server.Open(dst, client.out.seal(nil, handshake, update)); err != nil || slices.Max(dst) != 0 {
		t.Errorf("of a handshake message %x is left where data goes, %v", dst, err)
	}
}

// TestSealAppends seals behind what is there, with and without room.
func TestSealAppends(t *testing.T) {
	client, server := pipe(t, suites[0].id)
	for _, room := range []int{0, 3, 100, 1 << 17} {
		client.answer = true
		dst := append(make([]byte, 0, room), "abc"...)
		length := client.SealedLen(70000)
		dst = client.Seal(dst, pattern(70000))
		if len(dst) != 3+length || string(dst[:3]) != "abc" {
			t.Fatalf("room for %d: %d bytes, SealedLen has said %d", room, len(dst), length)
		}
		if err := openAll(server, dst[3:]); err != nil {
			t.Fatal(err)
		}
	}
	if b := client.Seal(nil, nil); len(b)+client.SealedLen(0) != 0 {
		t.Errorf("nothing is sealed as %d bytes", len(b))
	}
}

// TestSecretsUnseen prints a state and a Conn, and wipes them.
func TestSecretsUnseen(t *testing.T) {
	client, _ := pipe(t, suites[1].id)
	state := client.State()
	in, out := string(client.in.secret[:8]), string(client.out.secret[:8])
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d", "% x"} {
		for _, v := range []any{client, state, &state, state.In, state.In.Secret, []State{state}} {
			text := fmt.Sprintf(verb, v)
			for _, secret := range []string{
				in, out, hex.EncodeToString([]byte(in)), fmt.Sprintf("%X", out), fmt.Sprintf("% x", in),
				"1, 8, 15", "1 8 15", "0 7 14", "0x0, 0x7", "07 0e",
			} {
				if bytes.Contains([]byte(text), []byte(secret)) {
					t.Errorf("%s of a %T shows a secret: %s", verb, v, text)
				}
			}
		}
	}
	again := client.State()
	state.Wipe()
	client.Wipe()
	client.Wipe()
	if slices.Max(state.In.Secret) != 0 || slices.Max(state.Out.Secret) != 0 {
		t.Error("a state's secrets are not wiped")
	}
	for _, h := range []*half{&client.in, &client.out} {
		left := slices.Concat(h.secret[:], h.key[:], h.iv[:], h.nonce[:])
		if slices.Max(left) != 0 || h.aead != nil {
			t.Error("a Conn's secrets are not wiped")
		}
	}
	if slices.Max(again.In.Secret) == 0 {
		t.Error("a copy was wiped with the Conn")
	}
	if b := client.Alert(client.CloseNotify(client.Seal(nil, []byte("x"))), io.ErrUnexpectedEOF); len(b) > 0 {
		t.Errorf("%d bytes are sealed without secrets", len(b))
	}
	if _, err := client.Open(nil, []byte{applicationData, 3, 3, 0, 0}); alertOf(err) != internalError {
		t.Errorf("a record is opened without secrets: %v", err)
	}
}

// TestStatesRefused makes Conns of states that can't be.
func TestStatesRefused(t *testing.T) {
	client, _ := pipe(t, suites[0].id)
	for name, change := range map[string]func(s *State){
		"suite of TLS 1.2":   func(s *State) { s.Suite = tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 },
		"other suite's":      func(s *State) { s.Suite = tls.TLS_AES_256_GCM_SHA384 },
		"no suite":           func(s *State) { s.Suite = 0 },
		"no secret":          func(s *State) { s.In.Secret = nil },
		"a byte too many":    func(s *State) { s.Out.Secret = append(s.Out.Secret, 0) },
		"useless":            func(s *State) { s.Useless = maxUseless + 1 },
		"useless below zero": func(s *State) { s.Useless = -1 },
		"message":            func(s *State) { s.Message = make([]byte, 5) },
		"skip":               func(s *State) { s.Skip = maxMessage + 1 },
		"skip below zero":    func(s *State) { s.Skip = -1 },
	} {
		s := client.State()
		change(&s)
		if c, err := New(s); err == nil || c != nil {
			t.Errorf("%s: a Conn, %v", name, err)
		}
	}
}

// TestStateWhole loses nothing of a state.
func TestStateWhole(t *testing.T) {
	half := func(b byte) Half {
		return Half{Secret: bytes.Repeat([]byte{b}, 48), Seq: uint64(b) << 40, Closed: b == 1}
	}
	s := State{
		Suite: tls.TLS_AES_256_GCM_SHA384, Client: true, In: half(1), Out: half(2), Useless: 3, Answer: true, Ask: true,
		Message: []byte{4, 5}, Skip: 6, Limit: 7,
	}
	for i := range reflect.TypeOf(s).NumField() {
		if reflect.ValueOf(s).Field(i).IsZero() {
			t.Errorf("%s is not tried", reflect.TypeOf(s).Field(i).Name)
		}
	}
	c, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.State(); !reflect.DeepEqual(got, s) {
		t.Errorf("a state became %#v, it was %#v", got, s)
	}
}

// TestMovedWithinMessage moves a connection at each byte of a message that
// comes in bytes.
func TestMovedWithinMessage(t *testing.T) {
	server := newPair(t, suites[0].id, true)
	s := server.script(t)
	flat(pieces(ticket(20), 1), pieces(update, 1), (*script).newKey, data)(s)
	state := server.state
	var got []byte
	for _, record := range s.records {
		c, err := New(state)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := c.Open(nil, record)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, plain...)
		state = c.State()
	}
	if !bytes.Equal(got, pattern(9)) {
		t.Errorf("%x came", got)
	}
}
