package operate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/admin"
	"github.com/wirehost/wirehost/internal/handover"
)

// predecessor is a process that has handed over, and has connections left: it answers as
// an administration does, on a socket that this process alone has. Any goroutine.
type predecessor struct {
	pid int

	conn *net.UnixConn
	lent atomic.Bool // to the process that takes over

	mu   sync.Mutex
	came replay    // what conn has answered
	owed int       // answers to come
	rest time.Time // until when it is not asked
	gone bool
}

const (
	// predecessorWait is how long one may take to answer.
	predecessorWait = 2 * time.Second
	// predecessorRest is how long one that took longer is not asked.
	predecessorRest = 10 * time.Second
)

// errResting says that a process has not answered in time, and is asked again later.
var errResting = errors.New("it has not answered in time, and is asked again later")

// replay reads a connection, and can begin anew with the answer that it is in.
type replay struct {
	conn net.Conn
	kept []byte
	at   int
	err  error // why no more came
}

func (r *replay) Read(to []byte) (n int, err error) {
	if r.at == len(r.kept) {
		n, err = r.conn.Read(to)
		r.kept, r.err = append(r.kept, to[:n]...), err
	} else {
		n = copy(to, r.kept[r.at:])
	}
	r.at += n
	return n, err
}

// newPredecessor takes a socket. It closes the file.
func newPredecessor(pid int, file *os.File) (*predecessor, error) {
	conn, err := net.FileConn(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("found another socket than one of unix"), conn.Close())
	}
	return &predecessor{pid: pid, conn: u, came: replay{conn: u}}, nil
}

// refused is what a predecessor answers that is no answer, such as that it has no such plugin.
type refused struct{ text string }

func (e *refused) Error() string { return e.text }

// ask makes one request. A *refused is its answer. One that takes too long is asked again
// later; after another error, which says that the process has ended, it is not.
func (p *predecessor) ask(ctx context.Context, method, path string, in, out any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.gone:
		return net.ErrClosed
	case time.Now().Before(p.rest):
		return errResting
	}
	began := time.Now()
	err := p.exchange(ctx, method, path, in, out)
	var no *refused
	switch {
	case err == nil, errors.As(err, &no):
	case errors.Is(err, os.ErrDeadlineExceeded):
		if time.Since(began) >= predecessorWait && !p.lent.Load() {
			p.rest = time.Now().Add(predecessorRest)
		}
		return errResting
	default:
		p.close()
	}
	return err
}

func (p *predecessor) exchange(ctx context.Context, method, path string, in, out any) error {
	deadline := time.Now().Add(predecessorWait)
	if by, ok := ctx.Deadline(); ok && by.Before(deadline) {
		deadline = by
	}
	if err := p.conn.SetDeadline(deadline); err != nil {
		return err
	}
	if p.lent.Load() {
		return os.ErrDeadlineExceeded
	}
	for p.owed > 0 {
		if _, _, err := p.answer(); err != nil {
			return err
		}
	}
	if err := p.request(ctx, method, path, in); err != nil {
		return err
	}
	status, text, err := p.answer()
	switch {
	case err != nil:
		return err
	case status >= http.StatusBadRequest:
		return &refused{fmt.Sprintf("process %d answers %d %s: %s", p.pid, status, http.StatusText(status),
			bytes.TrimSpace(text))}
	}
	return json.Unmarshal(text, out)
}

// request sends one. Half of one would be the end: there is room for one in the socket.
func (p *predecessor) request(ctx context.Context, method, path string, in any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://predecessor"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", admin.UserAgent)
	if by := host.ByOf(ctx); by != (host.By{}) {
		if err := admin.PassOn(r, by); err != nil {
			return err
		}
	}
	var text bytes.Buffer
	if err := r.Write(&text); err != nil {
		return err
	}
	switch n, err := p.conn.Write(text.Bytes()); {
	case n == 0 && err != nil:
		return err
	case err != nil:
		return fmt.Errorf("asking process %d: %s", p.pid, err.Error()) // for no second time
	}
	p.owed++
	return nil
}

// answer reads one answer. What has come of it when it takes too long is read again.
func (p *predecessor) answer() (status int, text []byte, err error) {
	p.came.at, p.came.err = 0, nil
	from := bufio.NewReader(&p.came)
	answer, err := http.ReadResponse(from, nil)
	if err == nil {
		defer answer.Body.Close() // it is read to its end
		text, err = io.ReadAll(answer.Body)
	}
	if p.came.err != nil { // half a line may be read as one
		err = p.came.err
	}
	if err != nil {
		return 0, nil, err
	}
	p.came.kept = p.came.kept[p.came.at-from.Buffered():]
	p.owed--
	return answer.StatusCode, text, nil
}

// predecessors are those that are left. Any goroutine.
type predecessors struct {
	mu   sync.Mutex
	all  []*predecessor // sorted by number
	lent bool
}

// take takes those that were inherited.
func (ps *predecessors) take(in *inheritance) error {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for endpoint := range in.sockets {
		number, ok := strings.CutPrefix(endpoint, askSocket)
		if !ok {
			continue
		}
		pid, err := strconv.Atoi(number)
		if err == nil {
			var p *predecessor
			if p, err = newPredecessor(pid, in.socket(endpoint)); err == nil {
				ps.all = append(ps.all, p)
				continue
			}
		}
		return fmt.Errorf("taking over: %q: %w", endpoint, err)
	}
	slices.SortFunc(ps.all, func(a, b *predecessor) int { return a.pid - b.pid })
	return nil
}

// list are those that have not ended; none where they are lent.
func (ps *predecessors) list() []*predecessor {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.lent {
		return nil
	}
	ps.all = slices.DeleteFunc(ps.all, func(p *predecessor) bool {
		if !p.mu.TryLock() {
			return false // it is being asked
		}
		defer p.mu.Unlock()
		if !p.gone && handover.Ended(p.conn) {
			p.close()
		}
		return p.gone
	})
	return slices.Clone(ps.all)
}

// lend has this process ask no more, since another one may. It tells what is owed: see commit.
func (ps *predecessors) lend() (owed map[string]int) {
	owed = map[string]int{}
	all := ps.list()
	ps.mu.Lock()
	ps.lent = true
	ps.mu.Unlock()
	for _, p := range all {
		p.lent.Store(true)
		_ = p.conn.SetDeadline(time.Unix(1, 0)) // who asks now gives up
	}
	ps.each(func(p *predecessor) {
		switch number := strconv.Itoa(p.pid); {
		case p.gone || len(p.came.kept) > 0: // or in the middle of an answer
			owed[number] = -1
		case p.owed > 0:
			owed[number] = p.owed
		}
	})
	return owed
}

// owe notes what the process before has lent.
func (ps *predecessors) owe(owed map[string]int) {
	ps.each(func(p *predecessor) {
		if p.owed = owed[strconv.Itoa(p.pid)]; p.owed < 0 {
			p.close()
		}
	})
}

// takeBack has this process ask again, where the other one has not. It tells how many it can't
// ask any more.
func (ps *predecessors) takeBack(asked bool) (lost int) {
	ps.mu.Lock()
	ps.lent = false
	ps.mu.Unlock()
	ps.each(func(p *predecessor) {
		p.lent.Store(false)
		if asked && !p.gone {
			p.close()
			lost++
		}
	})
	return lost
}

// close asks them no more.
func (ps *predecessors) close() { ps.each((*predecessor).close) }

func (ps *predecessors) each(do func(*predecessor)) {
	ps.mu.Lock()
	all := slices.Clone(ps.all)
	ps.mu.Unlock()
	for _, p := range all {
		p.mu.Lock()
		do(p)
		p.mu.Unlock()
	}
}

func (p *predecessor) close() {
	if !p.gone {
		p.gone = true
		_ = p.conn.Close() // nothing was asked that must arrive
	}
}
