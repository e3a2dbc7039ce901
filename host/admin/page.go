package admin

import (
	"bytes"
	"embed"
	"encoding/json"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/guest"
)

// pageFiles are the page, as it is served; its README.md says where the library is from.
//
//go:embed page
var pageFiles embed.FS

// pagePolicy lets the page load and ask what is of the same server, and nothing else; no
// other page may show it in a frame, where its buttons could be pressed unseen.
const pagePolicy = "default-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// page serves the page and what it is told, beside the routes: both may change with any
// release, so they are no part of openapi.json.
func (s *Server) page(m *http.ServeMux) {
	m.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { s.pageFile(w, r, "index.html") })
	m.HandleFunc("GET /page/{file}", func(w http.ResponseWriter, r *http.Request) {
		s.pageFile(w, r, r.PathValue("file"))
	})
	m.HandleFunc("GET /page/events", s.events)
}

// isPage tells whether a request is for a file of the page, which says nothing of the host: a
// browser has no token before its page asks for it.
func isPage(r *http.Request) bool {
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	dir, file := path.Split(r.URL.Path)
	return get && (dir == "/" && file == "" || dir == "/page/" && file != "events")
}

func (s *Server) pageFile(w http.ResponseWriter, r *http.Request, name string) {
	types := map[string]string{".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
		".css": "text/css; charset=utf-8", ".LICENSE": "text/plain; charset=utf-8"}
	text, err := pageFiles.ReadFile("page/" + name)
	kind, known := types[path.Ext(name)]
	if err != nil || !known {
		s.reply(w, r, nil, kindNoRoute.problem("found no %s", r.URL.Path))
		return
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache") // another release may serve other files
	s.mustLeave(w)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
}

// How much of a list an event has at most. A text has maxShown bytes, or maxReason, so that an
// event has less than maxEvent, whatever runs.
const (
	shownPlugins  = 32 // those with the most connections
	shownVersions = 6
	shownRows     = 32 // listeners, certificates, changes
	shownChanges  = 4  // of a plugin
	shownMetrics  = 64 // guests' own, of all plugins
	maxShown      = 120
	maxReason     = 400 // of why something failed
	maxEvent      = 256 << 10
)

// sight is what the page is told each second: /status.json, bounded, and what it shows
// beside it. What guests and clients have written, users, paths: on administration only.
type sight struct {
	statusBody
	At             int64       `json:"at"` // in ms of Unix time
	Administration bool        `json:"administration"`
	Rest           int         `json:"plugins_left_out"`
	Certificates   []certSight `json:"certificates"`
	Changes        []change    `json:"changes"`
	CallbackBounds []float64   `json:"callback_bounds"` // in seconds
	TurnBounds     []float64   `json:"turn_bounds"`
	Metrics        []recorded  `json:"metrics"`
	MetricBounds   []float64   `json:"metric_bounds"`
}

// recorded is a metric of a plugin's own.
type recorded struct {
	Plugin string   `json:"plugin"`
	Name   string   `json:"name"`
	Kind   string   `json:"kind"`
	Value  float64  `json:"value"`
	Counts []uint64 `json:"counts,omitempty"` // of a histogram, by guest.MetricBounds
}

type certSight struct {
	Names    []string   `json:"names"`
	NotAfter *time.Time `json:"not_after,omitempty"`
	Loaded   bool       `json:"loaded"`
	Cert     string     `json:"cert,omitempty"`
	Err      string     `json:"err,omitempty"`
}

type change struct {
	Plugin string `json:"plugin"`
	Event
}

// sight looks at the host for all viewers.
func (s *Server) sight() []byte {
	b := s.statusNow()
	slices.SortStableFunc(b.Plugins, func(x, y pluginStatus) int { return y.Connections - x.Connections })
	v := sight{At: time.Now().UnixMilli(), Administration: s.administers, Certificates: []certSight{},
		Changes: []change{}, CallbackBounds: host.CallbackBounds(), TurnBounds: host.TurnBounds(),
		MetricBounds: guest.MetricBounds()}
	v.Rest = max(0, len(b.Plugins)-shownPlugins)
	b.Plugins = first(b.Plugins, shownPlugins)
	v.Metrics = metricsOf(b.Plugins)
	for n := range b.Plugins {
		p := &b.Plugins[n]
		v.Changes = append(v.Changes, s.changesOf(p.Name)...)
		p.Name, p.Active = short(p.Name), short(p.Active)
		p.Versions = first(p.Versions, shownVersions)
		for n := range p.Versions {
			p.Versions[n].Name = short(p.Versions[n].Name)
		}
		if s.administers {
			p.Failure, p.PinnedBy = shorter(p.why, maxReason), short(p.pinner)
		}
	}
	slices.SortStableFunc(v.Changes, func(x, y change) int { return y.At.Compare(x.At) })
	v.Changes = first(v.Changes, shownRows)
	b.Listeners = first(b.Listeners, shownRows)
	for n := range b.Listeners {
		l := &b.Listeners[n]
		l.Endpoint, l.Plugin = short(l.Endpoint), short(l.Plugin)
	}
	b.Unready = short(b.Unready)
	b.Loops = []loopStatus{sum(b.Loops)}
	v.Certificates = s.certificatesNow()
	v.statusBody = b
	var text bytes.Buffer
	to := json.NewEncoder(&text)
	to.SetEscapeHTML(false) // it is not shown as HTML, and would be six times as long
	if err := to.Encode(v); err != nil || text.Len() > maxEvent {
		s.log.Error("the page is not told how the host does", "bytes", text.Len(), "err", err)
		return nil
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}

// metricsOf are metrics of the plugins' own, of each as many as of the others.
func metricsOf(plugins []pluginStatus) []recorded {
	list := []recorded{}
	for n, p := range plugins {
		for _, m := range first(p.metrics, (shownMetrics-len(list))/(len(plugins)-n)) {
			list = append(list, recorded{short(p.Name), m.Name, m.Kind, m.Value, m.Counts})
		}
	}
	return list
}

// changesOf are the last ones of a plugin.
func (s *Server) changesOf(plugin string) (list []change) {
	events, err := s.o.Host.History(plugin)
	if err != nil {
		return nil // it is gone again
	}
	for _, e := range first(events, shownChanges) {
		e.Version, e.Previous, e.By, e.Detail = short(e.Version), short(e.Previous), short(e.By),
			shorter(e.Detail, maxReason)
		if !s.administers {
			e.By, e.Detail = "", ""
		}
		list = append(list, change{short(plugin), e})
	}
	return list
}

// certificatesNow are those that expire first.
func (s *Server) certificatesNow() []certSight {
	certs := slices.Clone(s.o.Host.Certificates())
	slices.SortStableFunc(certs, func(x, y host.CertificateInfo) int {
		switch {
		case x.NotAfter == nil || y.NotAfter == nil:
			return btoi(x.NotAfter != nil) - btoi(y.NotAfter != nil) // what is not loaded is first
		default:
			return x.NotAfter.Compare(*y.NotAfter)
		}
	})
	list := []certSight{}
	for _, c := range first(certs, shownRows) {
		names := []string{}
		for _, name := range first(c.Names, 3) {
			names = append(names, short(name))
		}
		shown := certSight{Names: names, NotAfter: c.NotAfter, Loaded: c.Loaded}
		if s.administers {
			shown.Cert, shown.Err = short(c.Cert), shorter(c.Err, maxReason)
		}
		list = append(list, shown)
	}
	return list
}

// sum is all loops as one: the time of the one that is late most.
func sum(loops []loopStatus) loopStatus {
	all := loopStatus{Turns: make([]uint64, len(host.LoopInfo{}.Turns))}
	for _, l := range loops {
		all.Connections, all.Opened, all.Lost = all.Connections+l.Connections, all.Opened+l.Opened, all.Lost+l.Lost
		all.BytesIn, all.BytesOut, all.Queued = all.BytesIn+l.BytesIn, all.BytesOut+l.BytesOut, all.Queued+l.Queued
		all.TurnTime, all.Late = all.TurnTime+l.TurnTime, max(all.Late, l.Late)
		for n, count := range l.Turns {
			all.Turns[n] += count
		}
	}
	return all
}

func first[T any](list []T, n int) []T { return list[:min(n, len(list))] }

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// short is a text as the page is told it.
func short(text string) string { return shorter(text, maxShown) }

// shorter has at most so many bytes, and a character that JSON makes many of is a space.
func shorter(text string, most int) string {
	cut := strings.ToValidUTF8(text[:min(most, len(text))], "")
	if len(text) > most {
		cut += "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, cut)
}

// logTail answers with the last lines of the log.
func (s *Server) logTail(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff") // guests and clients may have written it
	w.Header().Set("Cache-Control", "no-store")
	if s.o.LogTail == nil {
		return
	}
	if _, err := w.Write(s.o.LogTail()); err != nil {
		s.log.Debug("an answer was not taken", "path", "/v1/log", "err", err)
	}
}
