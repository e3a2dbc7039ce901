//go:build unix

package operate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/internal/handover"
)

// TestPredecessorIsLate: one that answers too late is asked again, by this process or by the next
// one, and is understood, even where some of the late answer has come.
func TestPredecessorIsLate(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d"
	for _, early := range []int{0, 10} { // bytes that have come
		for _, next := range []bool{false, true} {
			t.Run(fmt.Sprint(early, next), func(t *testing.T) {
				ours, theirs, err := handover.Sockets()
				do(t, err)
				there, err := net.FileConn(theirs)
				do(t, errors.Join(err, theirs.Close()))
				defer there.Close()
				p, err := newPredecessor(7, ours)
				do(t, err)
				ps := &predecessors{all: []*predecessor{p}}
				defer func() { ps.close() }()

				first := fmt.Sprintf(answer, 1)
				_, err = there.Write([]byte(first[:early]))
				do(t, err)
				asked := bufio.NewReader(there)
				expect := func(path, by string) {
					t.Helper()
					r, err := http.ReadRequest(asked)
					do(t, err)
					if found := r.Header.Get("Wirehost-By"); r.URL.Path != path || !strings.Contains(found, by) {
						t.Errorf("found %s, by %q, wanted %s, by %q", r.URL.Path, found, path, by)
					}
				}
				late := make(chan error, 1)
				var got int
				go func() { late <- p.ask(context.Background(), http.MethodGet, "/first", nil, &got) }()
				expect("/first", "")
				do(t, p.conn.SetDeadline(time.Unix(1, 0))) // as if it had taken too long
				if err := <-late; !errors.Is(err, errResting) {
					t.Fatalf("found %v, wanted %v", err, errResting)
				}
				_, err = there.Write([]byte(first[early:] + fmt.Sprintf(answer, 2)))
				do(t, err)
				if next {
					p, ps = handOn(t, ps)
					if p == nil { // the bytes that came early are the first process's
						if early == 0 {
							t.Error("found none that can be asked")
						}
						return
					}
				}
				by := host.WithBy(context.Background(), host.By{User: "ann"})
				do(t, p.ask(by, http.MethodGet, "/second", nil, &got))
				if got != 2 {
					t.Errorf("found the answer %d, wanted 2", got)
				}
				expect("/second", `"ann"`)
			})
		}
	}
}

// handOn gives what is left to the next process.
func handOn(t *testing.T, ps *predecessors) (*predecessor, *predecessors) {
	t.Helper()
	f, err := ps.all[0].conn.File()
	do(t, err)
	p, err := newPredecessor(7, f)
	do(t, err)
	next := &predecessors{all: []*predecessor{p}}
	next.owe(ps.lend())
	ps.close()
	if len(next.list()) == 0 {
		return nil, next
	}
	return p, next
}

// TestPredecessorIsLent: nobody asks one that another process may ask, and it is asked again where
// that one has not.
func TestPredecessorIsLent(t *testing.T) {
	for _, asked := range []bool{false, true} {
		ours, theirs, err := handover.Sockets()
		do(t, err)
		p, err := newPredecessor(7, ours)
		do(t, err)
		ps := &predecessors{all: []*predecessor{p}}
		if owed := ps.lend(); len(owed) > 0 || len(ps.list()) > 0 {
			t.Errorf("found %v and %d to be asked", owed, len(ps.list()))
		}
		lost := ps.takeBack(asked)
		if left := len(ps.list()); lost+left != 1 || (left == 1) == asked {
			t.Errorf("asked %t: found %d lost and %d to be asked", asked, lost, left)
		}
		do(t, theirs.Close())
		if left := len(ps.list()); left > 0 {
			t.Errorf("found %d that have ended", left)
		}
	}
}

// TestPredecessorsPages: where the process that the next page begins with has ended meanwhile,
// that page is of the next one, from its start; one that is late is named.
func TestPredecessorsPages(t *testing.T) {
	var ps predecessors
	defer func() { ps.close() }()
	for _, pid := range []int{7, 9} {
		ours, theirs, err := handover.Sockets()
		do(t, err)
		there, err := net.FileConn(theirs)
		do(t, errors.Join(err, theirs.Close()))
		defer there.Close()
		p, err := newPredecessor(pid, ours)
		do(t, err)
		ps.all = append(ps.all, p)
		go func() {
			for asked := bufio.NewReader(there); ; {
				r, err := http.ReadRequest(asked)
				if err != nil {
					return
				}
				text := fmt.Sprintf(`{"connections": [{"id": "of %d%s"}]}`, pid, r.FormValue("after"))
				fmt.Fprintf(there, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
			}
		}()
	}
	ps.all[1].rest = time.Now().Add(time.Hour)
	if page, err := pageOf(context.Background(), ps.list(), 8, host.ConnQuery{}); err != nil ||
		!slices.Equal(page.Silent, []int{9}) {
		t.Errorf("found %+v, %v, wanted the process that is late", page, err)
	}
	ps.all[1].rest = time.Time{}
	for pid, want := range map[int]string{6: "of 7 process-9:", 7: "of 7 behind process-9:", 8: "of 9 ",
		9: "of 9 behind ", 10: ""} {
		page, err := pageOf(context.Background(), ps.list(), pid, host.ConnQuery{After: " behind"})
		do(t, err)
		found := ""
		for _, c := range page.Connections {
			found = c.ID + " " + page.Next
		}
		if found != want {
			t.Errorf("from %d on: found %q, wanted %q", pid, found, want)
		}
	}
}
