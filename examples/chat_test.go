package examples

import (
	"context"
	"fmt"
	"testing"
)

// TestChat talks, reloads with a half line sent, and talks on in the same room.
func TestChat(t *testing.T) {
	s := serve(t, "chat", nil)
	var members []*client
	for i := range 4 { // of both event loops
		c := s.dial(t, "chat")
		c.expect("* your name?\n")
		c.send(fmt.Sprintf("m%d\n", i))
		for j := range i {
			c.expect(fmt.Sprintf("* m%d came in\n", j))
			members[j].expect(fmt.Sprintf("* m%d came in\n", i))
		}
		c.expect(fmt.Sprintf("* welcome, m%d; %d here\n", i, i+1))
		members = append(members, c)
	}
	said := func(by int, text string) {
		t.Helper()
		for i, c := range members {
			if i != by {
				c.expect(fmt.Sprintf("<m%d> %s\n", by, text))
			}
		}
	}
	members[0].send("hello\nhal")
	said(0, "hello")

	out, err := s.ReloadPlugin(context.Background(), "chat", true)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.log)
	}
	if out.Migrated != len(members) {
		t.Fatalf("%v, wanted %d migrated", out, len(members))
	}
	members[0].send("f\n")
	said(0, "half")
	members[1].send("/who\n")
	members[1].expect("* m0, m1, m2, m3\n")

	late := s.dial(t, "chat")
	late.send("late\n")
	late.expect("* your name?\n* m0 came in\n* m1 came in\n* m2 came in\n* m3 came in\n" +
		"<m0> hello\n<m0> half\n* welcome, late; 5 here\n")
	late.send("/quit\n")
	if rest := late.rest(); rest != "" {
		t.Errorf("found %q after /quit", rest)
	}
}
