package admin

import (
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/wirehost/wirehost/internal/logqueue"
)

// streamTrace answers with the lines of a trace, for as long as the client stays and no other
// trace takes its place.
func (s *Server) streamTrace(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	conn, err := tracedConnection(name, r.URL.Query().Get("connection"))
	if err == nil {
		err = s.o.Host.TraceTo(r.Context(), name, conn, nil) // is there such a thing?
	}
	if err != nil {
		s.reply(w, r, nil, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	out := &streamed{w: w, within: s.ioTime}
	_, _ = out.Write(nil) // the header: a client that has gone ends the request
	lines := logqueue.New(logqueue.Options{To: out})
	if err = s.o.Host.TraceTo(r.Context(), name, conn, lines); err != nil {
		_, _ = io.WriteString(lines, "the trace has ended: "+err.Error()+"\n") // never fails
	}
	lines.Close(time.Second)
	out.end()
}

// streamed is an answer whose pieces leave at once, each within a time, until it is ended.
type streamed struct {
	w      http.ResponseWriter
	within time.Duration
	mu     sync.Mutex
	ended  bool
}

// Write sends b.
func (o *streamed) Write(b []byte) (n int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return 0, io.ErrClosedPipe
	}
	c := http.NewResponseController(o.w)
	// Not every ResponseWriter has deadlines: those of tests don't.
	_ = c.SetWriteDeadline(time.Now().Add(o.within))
	if n, err = o.w.Write(b); err == nil {
		err = c.Flush()
	}
	return n, err
}

// end has nothing written any more: the answer is the server's again.
func (o *streamed) end() {
	_ = http.NewResponseController(o.w).SetWriteDeadline(time.Now()) // of a write that stands still
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
}
