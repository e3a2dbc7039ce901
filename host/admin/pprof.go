package admin

import (
	"net/http"
	"net/http/pprof"
	"time"
)

// profiles are what Go tells of the program itself (net/http/pprof), under /debug/pprof/. They
// are no part of openapi.json: what there is depends on the release of Go.
func (s *Server) profiles(m *http.ServeMux) {
	for path, serve := range map[string]http.HandlerFunc{
		"/debug/pprof/": pprof.Index, "/debug/pprof/cmdline": pprof.Cmdline, "/debug/pprof/profile": pprof.Profile,
		"/debug/pprof/symbol": pprof.Symbol, "/debug/pprof/trace": pprof.Trace,
	} {
		m.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			serve(&leaving{ResponseWriter: w, within: s.ioTime}, r)
		})
	}
}

// leaving is an answer each piece of which has so long to leave, however long the next one
// takes to be made.
type leaving struct {
	http.ResponseWriter
	within time.Duration
}

// Write has the client take b in time.
func (l *leaving) Write(b []byte) (int, error) {
	// Not every ResponseWriter has deadlines: those of tests don't.
	_ = http.NewResponseController(l.ResponseWriter).SetWriteDeadline(time.Now().Add(l.within))
	return l.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (l *leaving) Unwrap() http.ResponseWriter { return l.ResponseWriter }
