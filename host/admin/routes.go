package admin

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// openapi describes the routes (OpenAPI 3.1). A test holds the two together.
//
//go:embed openapi.json
var openapi []byte

// route is what is done for one method on one path.
type route struct {
	method string
	path   string // as net/http's patterns have it
	// it does not write the answer; where it is nil, raw is set
	do  func(http.ResponseWriter, *http.Request) (*answer, error)
	raw http.Handler
}

// answer is what a request gets when nothing is wrong.
type answer struct {
	status int    // 0 = 200
	body   any    // as JSON, where raw is nil
	raw    []byte // octets
	etag   string
	at     string // Location
}

func (s *Server) table() []route {
	return []route{
		{method: "GET", path: "/v1/plugins", do: s.listPlugins},
		{method: "GET", path: "/v1/plugins/{name}", do: s.getPlugin},
		{method: "POST", path: "/v1/plugins/{name}", do: s.loadPlugin},
		{method: "DELETE", path: "/v1/plugins/{name}", do: s.unloadPlugin},
		{method: "POST", path: "/v1/plugins/{name}/reload", do: s.reloadPlugin},
		{method: "POST", path: "/v1/plugins/{name}/use", do: s.usePlugin},
		{method: "DELETE", path: "/v1/plugins/{name}/pin", do: s.unpin},
		{method: "GET", path: "/v1/plugins/{name}/history", do: s.history},
		{method: "GET", path: "/v1/plugins/{name}/trace", raw: http.HandlerFunc(s.streamTrace)},
		{method: "PUT", path: "/v1/plugins/{name}/trace", do: s.tracePlugin},
		{method: "DELETE", path: "/v1/plugins/{name}/trace", do: s.untracePlugin},
		{method: "GET", path: "/v1/plugins/{name}/profile", do: s.profilePlugin},
		{method: "GET", path: "/v1/connections", do: s.listConnections},
		{method: "POST", path: "/v1/connections/close", do: s.closeConnections},
		{method: "GET", path: "/v1/listeners", do: s.listListeners},
		{method: "GET", path: "/v1/status", do: s.getStatus},
		{method: "GET", path: "/v1/log", raw: http.HandlerFunc(s.logTail)},
		{method: "GET", path: "/v1/config", do: s.getConfig},
		{method: "GET", path: "/v1/config/settings", do: s.listSettings},
		{method: "POST", path: "/v1/config/reload", do: s.reloadConfig},
		{method: "POST", path: "/v1/upgrade", do: s.upgrade},
		{method: "GET", path: "/v1/openapi.json", raw: http.HandlerFunc(s.describe)},
		{method: "GET", path: "/healthz", do: s.health},
		{method: "GET", path: "/readyz", do: s.ready},
		{method: "GET", path: "/metrics", raw: s.o.Metrics.serve(s.o.Host)},
	}
}

// mux finds the route, or what more has added. What has none gets a problem, as every other fault does.
func (s *Server) mux(more func(*http.ServeMux)) http.Handler {
	m := http.NewServeMux()
	if more != nil {
		more(m)
	}
	methods := map[string][]string{}
	for _, r := range s.routes {
		methods[r.path] = append(methods[r.path], r.method)
		if r.method == "GET" {
			methods[r.path] = append(methods[r.path], "HEAD")
		}
		if r.raw != nil {
			m.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) {
				s.mustLeave(w)
				r.raw.ServeHTTP(w, req)
			})
			continue
		}
		m.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) {
			a, err := r.do(w, req)
			s.reply(w, req, a, err)
		})
	}
	for path, list := range methods {
		slices.Sort(list)
		allow := strings.Join(list, ", ")
		m.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", allow)
			s.reply(w, r, nil, kindMethod.problem("found the method %s, wanted one of %s", r.Method, allow))
		})
	}
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		there := "/v1/openapi.json has what there is"
		if methods["/v1/openapi.json"] == nil { // a monitor
			there = "wanted one of " + strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
		}
		s.reply(w, r, nil, kindNoRoute.problem("found no %s; %s", r.URL.Path, there))
	})
	return m
}

// reply answers a request with a, or with what is wrong.
func (s *Server) reply(w http.ResponseWriter, r *http.Request, a *answer, err error) {
	mediaType := "application/json"
	if err != nil {
		p := problemOf(err, kindInternal)
		if p.Status == kindInternal.status {
			s.log.Error("a request failed", "method", r.Method, "path", r.URL.Path, "err", cut(p.Detail))
		}
		a, mediaType = &answer{status: p.Status, body: p}, "application/problem+json"
	}
	body := a.raw
	if body != nil {
		mediaType = "application/octet-stream"
	} else if body, err = json.Marshal(a.body); err != nil {
		s.log.Error("an answer has no JSON", "path", r.URL.Path, "err", err)
		http.Error(w, "the answer has no JSON", http.StatusInternalServerError)
		return
	} else {
		body = append(body, '\n')
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", "no-store")
	if a.etag != "" {
		h.Set("ETag", etag(a.etag))
	}
	if a.at != "" {
		h.Set("Location", a.at)
	}
	s.mustLeave(w)
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	if _, err := w.Write(body); err != nil {
		s.log.Debug("an answer was not taken", "path", r.URL.Path, "err", err)
	}
}

// mustLeave bounds how long an answer takes to leave: one who reads nothing would
// keep it for ever. It is for one answer: the next one of the same connection
// needs it again.
func (s *Server) mustLeave(w http.ResponseWriter) {
	// Not every ResponseWriter has deadlines: those of tests don't.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.ioTime))
}

// maxLogged is how many bytes of a text go into a log line, as for guests.
const maxLogged = 4 << 10

func cut(text string) string {
	if len(text) > maxLogged {
		return strings.ToValidUTF8(text[:maxLogged], "")
	}
	return text
}

// maxFaults is how many faults of an error are logged: how many a module has is its
// own doing.
const maxFaults = 64

// loggedFaults are err's faults as they are logged.
func loggedFaults(err error) []string {
	list := faults(err)
	more := len(list) - maxFaults
	if more > 0 {
		list = list[:maxFaults]
	}
	logged := make([]string, 0, len(list)+1)
	for _, f := range list {
		logged = append(logged, cut(f))
	}
	if more > 0 {
		logged = append(logged, fmt.Sprintf("and %d more faults", more))
	}
	return logged
}

func (s *Server) describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write(openapi); err != nil {
		s.log.Debug("an answer was not taken", "path", "/v1/openapi.json", "err", err)
	}
}

// status is what /healthz and /readyz say.
type status struct {
	Status string `json:"status"`
}

// health says that the process answers: no more, so that a loop that is busy
// does not have it killed.
func (s *Server) health(http.ResponseWriter, *http.Request) (*answer, error) {
	return &answer{body: status{"ok"}}, nil
}

// ready says that every listener is bound, every plugin active, and connections are taken.
func (s *Server) ready(http.ResponseWriter, *http.Request) (*answer, error) {
	if why := s.o.Host.Unready(); why != "" {
		return nil, kindNotReady.problem("%s", why)
	}
	return &answer{body: status{"ready"}}, nil
}
