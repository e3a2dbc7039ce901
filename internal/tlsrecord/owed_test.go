package tlsrecord

import (
	"bytes"
	"testing"
)

// opened has c open a record that is right.
func opened(t *testing.T, c *Conn, record []byte) []byte {
	t.Helper()
	plain, err := c.Open(nil, record)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// sealedUpdate is a key update of c's, which asks for one or does not.
func sealedUpdate(c *Conn, asks bool) []byte {
	c.answer, c.ask = !asks, asks
	return c.keyUpdate(nil)
}

// TestOneAnswer asks for key updates any number of times before we come to
// write: there is one answer, before the data, and it asks for nothing.
func TestOneAnswer(t *testing.T) {
	for name, send := range map[string]func(c *Conn) (answer, rest []byte){
		"answer": func(c *Conn) ([]byte, []byte) { return c.Answer(nil), c.Seal(nil, []byte("data")) },
		"seal": func(c *Conn) ([]byte, []byte) {
			b := c.Seal(nil, []byte("data"))
			return b[:sealedKeyUpdate], b[sealedKeyUpdate:]
		},
	} {
		client, server := pipe(t, suites[0].id)
		for _, asks := range []bool{false, true, true, false} {
			opened(t, server, sealedUpdate(client, asks))
		}
		answer, rest := send(server)
		opened(t, client, answer)
		if client.answer || client.in.seq != 0 {
			t.Errorf("%s: the answer asks for a key update: %v; %d records under the new key",
				name, client.answer, client.in.seq)
		}
		if got := opened(t, client, rest); string(got) != "data" {
			t.Errorf("%s: %q came", name, got)
		}
		if b := server.Answer(nil); len(b) > 0 {
			t.Errorf("%s: a second answer", name)
		}
	}
}

// TestNoAnswerBehindEnd owes an answer when nothing may be sent any more.
func TestNoAnswerBehindEnd(t *testing.T) {
	for name, end := range map[string]func(c *Conn){
		"close_notify": func(c *Conn) { c.CloseNotify(nil) },
		"error":        func(c *Conn) { _, _ = c.Next([]byte("HTTP/")) },
		"alert":        func(c *Conn) { c.Alert(nil, errCut) },
		"wipe":         (*Conn).Wipe,
	} {
		client, server := pipe(t, suites[0].id)
		opened(t, server, sealedUpdate(client, true))
		end(server)
		if b := server.Answer(nil); len(b)+server.SealedLen(1) > 0 {
			t.Errorf("%s: %d bytes behind it", name, len(b))
		}
	}
}

// TestAsked has the peer's key wear out: it is asked for another once, by
// Answer or by Seal; where it changes its key by itself, not at all.
func TestAsked(t *testing.T) {
	for name, send := range map[string]func(c *Conn) []byte{
		"answer": func(c *Conn) []byte { return c.Answer(nil) },
		"seal":   func(c *Conn) []byte { return c.Seal(nil, []byte("x"))[:sealedKeyUpdate] },
	} {
		client, server := pipe(t, suites[0].id)
		server.limit = 3
		for range 3 {
			if b := server.Answer(nil); len(b) > 0 {
				t.Fatalf("%s: the peer is asked too early", name)
			}
			opened(t, server, client.Seal(nil, []byte("x")))
		}
		opened(t, client, send(server))
		if !client.answer {
			t.Errorf("%s: the peer is not asked", name)
		}
		for range 5 {
			opened(t, server, client.out.seal(nil, applicationData, []byte("on the way")))
			if b := server.Answer(nil); len(b) > 0 {
				t.Fatalf("%s: the peer is asked twice", name)
			}
		}
		opened(t, server, client.Answer(nil))

		for range 3 {
			opened(t, server, client.Seal(nil, []byte("x")))
		}
		opened(t, server, sealedUpdate(client, false))
		if b := server.Answer(nil); len(b) > 0 {
			t.Errorf("%s: a peer with a new key is asked for one", name)
		}
	}
}

// TestUpdatesCross has both ends ask at once: each answers, and both go on.
func TestUpdatesCross(t *testing.T) {
	client, server := pipe(t, suites[2].id)
	a, b := sealedUpdate(client, true), sealedUpdate(server, true)
	opened(t, server, a)
	opened(t, client, b)
	a, b = client.Answer(nil), server.Answer(nil)
	opened(t, server, a)
	opened(t, client, b)
	if client.Answer(nil) != nil || server.Answer(nil) != nil {
		t.Error("an answer is answered")
	}
	if !bytes.Equal(opened(t, server, client.Seal(nil, pattern(9))), pattern(9)) ||
		!bytes.Equal(opened(t, client, server.Seal(nil, pattern(9))), pattern(9)) {
		t.Error("data came otherwise")
	}
}

// TestLimit is what the RFC allows at most, and no more by mistake.
func TestLimit(t *testing.T) {
	client, _ := pipe(t, suites[0].id)
	limits := map[uint64]uint64{0: recordLimit, 1: 1, recordLimit + 1: recordLimit, 1 << 63: recordLimit}
	for given, want := range limits {
		s := client.State()
		s.Limit, s.Out.Seq, s.In.Seq = given, 1<<60, 1<<60
		c, err := New(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.State().Limit; got != want {
			t.Errorf("a limit of %d is one of %d, wanted %d", given, got, want)
		}
		if n, b := c.SealedLen(70000), c.Seal(nil, pattern(70000)); n != len(b) {
			t.Errorf("at a limit of %d %d bytes are sealed, SealedLen has said %d", given, len(b), n)
		}
	}
}
