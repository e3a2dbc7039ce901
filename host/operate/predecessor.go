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
	"time"

	"github.com/wirehost/wirehost/host/admin"
)

// predecessor is a process that has handed over, and has connections left: it answers as
// an administration does, on a socket that this process alone has. Any goroutine.
type predecessor struct {
	pid int

	mu   sync.Mutex
	conn net.Conn
	from *bufio.Reader // conn
	file *os.File      // of conn, to hand on
	gone bool
}

// predecessorWait is how long one may take to answer.
const predecessorWait = 2 * time.Second

// newPredecessor takes a socket.
func newPredecessor(pid int, file *os.File) (*predecessor, error) {
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	return &predecessor{pid: pid, conn: conn, from: bufio.NewReader(conn), file: file}, nil
}

// refused is what a predecessor answers that is no answer, such as that it has no such plugin.
type refused struct{ text string }

func (e *refused) Error() string { return e.text }

// ask makes one request. A *refused is its answer; another error says that the process has
// ended, or does not answer: then it is not asked again.
func (p *predecessor) ask(ctx context.Context, method, path string, in, out any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return net.ErrClosed
	}
	err := p.exchange(ctx, method, path, in, out)
	var no *refused
	if err != nil && !errors.As(err, &no) {
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
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if in == nil {
		body = nil
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://predecessor"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", admin.UserAgent)
	if err := r.Write(p.conn); err != nil {
		return err
	}
	answer, err := http.ReadResponse(p.from, r)
	if err != nil {
		return err
	}
	defer answer.Body.Close() // it was read to its end
	text, err := io.ReadAll(answer.Body)
	switch {
	case err != nil:
		return err
	case answer.StatusCode >= http.StatusBadRequest:
		return &refused{fmt.Sprintf("process %d answers %s: %s", p.pid, answer.Status, bytes.TrimSpace(text))}
	}
	return json.Unmarshal(text, out)
}

// predecessors are those that are left. Any goroutine.
type predecessors struct {
	mu  sync.Mutex
	all []*predecessor
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
		f := in.socket(endpoint)
		pid, err := strconv.Atoi(number)
		if err == nil {
			var p *predecessor
			if p, err = newPredecessor(pid, f); err == nil {
				ps.all = append(ps.all, p)
				continue
			}
		}
		return errors.Join(fmt.Errorf("taking over: %q: %w", endpoint, err), f.Close())
	}
	return nil
}

// list are those that have not ended, as far as is known.
func (ps *predecessors) list() []*predecessor {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.all = slices.DeleteFunc(ps.all, func(p *predecessor) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.gone
	})
	return slices.Clone(ps.all)
}

// close asks them no more, and tells how many there were.
func (ps *predecessors) close() int {
	all := ps.list()
	for _, p := range all {
		p.mu.Lock()
		p.close()
		p.mu.Unlock()
	}
	return len(all)
}

func (p *predecessor) close() {
	if !p.gone {
		p.gone = true
		_, _ = p.conn.Close(), p.file.Close() // nothing was asked that must arrive
	}
}
