package admin

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wirehost/wirehost/host"
)

// MaxPage is how many connections, or guests' sockets, an answer may have at most.
const MaxPage = 10_000

// pageSize is how many it has where nothing else is asked for.
const pageSize = 1000

// CloseRequest is what POST /v1/connections/close takes: which connections to close, those
// that are all that it names. GET /v1/connections takes the same but Abort as parameters.
type CloseRequest struct {
	IDs      []string `json:"ids,omitempty"`
	Plugin   string   `json:"plugin,omitempty"`
	Version  string   `json:"version,omitempty"`
	Peer     string   `json:"peer,omitempty"`
	Listener string   `json:"listener,omitempty"`
	State    string   `json:"state,omitempty"`
	IdleFor  string   `json:"idle_for,omitempty"`
	Age      string   `json:"age,omitempty"`
	Abort    bool     `json:"abort,omitempty"` // at once: what is queued is dropped
}

// NewCloseRequest asks for the end of what a filter lets through.
func NewCloseRequest(f host.ConnFilter, abort bool) CloseRequest {
	text := func(d time.Duration) string {
		if d <= 0 {
			return ""
		}
		return d.String()
	}
	r := CloseRequest{IDs: f.IDs, Plugin: f.Plugin, Version: f.Version, Listener: f.Listener, State: f.State,
		IdleFor: text(f.IdleFor), Age: text(f.Age), Abort: abort}
	if f.Peer != (netip.Prefix{}) {
		r.Peer = f.Peer.String()
	}
	return r
}

// ConnParameters are a query as GET /v1/connections takes it.
func ConnParameters(q host.ConnQuery) url.Values {
	r := NewCloseRequest(q.ConnFilter, false)
	v := url.Values{"id": q.IDs}
	for key, text := range map[string]string{
		"plugin": r.Plugin, "version": r.Version, "peer": r.Peer, "listener": r.Listener, "state": r.State,
		"idle_for": r.IdleFor, "age": r.Age, "sort": q.Sort, "after": q.After,
	} {
		if text != "" {
			v.Set(key, text)
		}
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

// closeAnswer says what became of a CloseRequest.
type closeAnswer struct {
	Closed int `json:"closed"` // connections that begin to end
}

// listParameters are what GET /v1/connections takes.
func listParameters() []string {
	return []string{"id", "plugin", "version", "peer", "listener", "state", "idle_for", "age", "sort", "limit", "after"}
}

func (s *Server) listConnections(_ http.ResponseWriter, r *http.Request) (*answer, error) {
	values := r.URL.Query()
	if err := knownParameters(values, listParameters()...); err != nil {
		return nil, err
	}
	q, err := connQuery(values)
	if err != nil {
		return nil, err
	}
	page, err := s.o.Host.Connections(r.Context(), q)
	if errors.Is(err, host.ErrNoConnection) {
		return nil, kindBadRequest.problem("%s", err)
	}
	if err != nil {
		return nil, err
	}
	page.Connections = orEmpty(page.Connections)
	return &answer{body: page}, nil
}

// connQuery reads a query's parameters.
func connQuery(v url.Values) (q host.ConnQuery, err error) {
	q.ConnFilter, err = connFilter(CloseRequest{
		IDs: v["id"], Plugin: v.Get("plugin"), Version: v.Get("version"), Peer: v.Get("peer"),
		Listener: v.Get("listener"), State: v.Get("state"), IdleFor: v.Get("idle_for"), Age: v.Get("age"),
	})
	if err != nil {
		return q, err
	}
	q.Sort, q.After = v.Get("sort"), v.Get("after")
	if q.Sort != "" && !slices.Contains(host.ConnSorts(), q.Sort) {
		return q, kindBadRequest.problem("sort: found %q, wanted one of %s", q.Sort,
			strings.Join(host.ConnSorts(), ", "))
	}
	if q.Sort != "" && q.After != "" {
		return q, kindBadRequest.problem("after: found it beside sort, wanted one of them: what is sorted has no pages")
	}
	q.Limit, err = limitOf(v)
	return q, err
}

// knownParameters refuses others than those of some names.
func knownParameters(v url.Values, names ...string) error {
	for _, key := range slices.Sorted(maps.Keys(v)) {
		if !slices.Contains(names, key) {
			return kindBadRequest.problem("found the parameter %q, wanted one of %s", key, strings.Join(names, ", "))
		}
	}
	return nil
}

// limitOf is how many a query asks for.
func limitOf(v url.Values) (int, error) {
	text := v.Get("limit")
	if text == "" {
		return pageSize, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > MaxPage {
		return 0, kindBadRequest.problem("limit: found %q, wanted a number from 1 to %d", text, MaxPage)
	}
	return n, nil
}

// connFilter reads what a request says of connections.
func connFilter(r CloseRequest) (f host.ConnFilter, err error) {
	f = host.ConnFilter{IDs: r.IDs, Plugin: r.Plugin, Version: r.Version, Listener: r.Listener, State: r.State}
	for _, id := range r.IDs {
		plugin, number, _ := strings.Cut(id, "/")
		if _, err := strconv.ParseUint(number, 10, 31); err != nil || plugin == "" {
			return f, kindBadRequest.problem("id: found %q, wanted PLUGIN/NUMBER, such as echo/1", id)
		}
	}
	if r.Version != "" && !strings.Contains(r.Version, "@") {
		return f, kindBadRequest.problem("version: found %q, wanted NAME@HASH, such as echo@0123456789ab", r.Version)
	}
	if f.Peer, err = prefixOf(r.Peer); err != nil {
		return f, err
	}
	if r.State != "" && !slices.Contains(states(), r.State) {
		return f, kindBadRequest.problem("state: found %q, wanted one of %s", r.State, strings.Join(states(), ", "))
	}
	if f.IdleFor, err = duration("idle_for", r.IdleFor); err != nil {
		return f, err
	}
	f.Age, err = duration("age", r.Age)
	return f, err
}

func states() []string { return []string{"open", "closing", "half-closed", "connecting", "paused"} }

// prefixOf reads an address, or several of them as CIDR.
func prefixOf(text string) (netip.Prefix, error) {
	if text == "" {
		return netip.Prefix{}, nil
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return p, nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{},
			kindBadRequest.problem("peer: found %q, wanted an address or CIDR, such as 192.0.2.7 or "+
				"2001:db8::/32", text)
	}
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen()), nil
}

func duration(name, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, kindBadRequest.problem("%s: found %q, wanted a time such as 30s, 10m or 1h30m", name, text)
	}
	return d, nil
}

func (s *Server) closeConnections(w http.ResponseWriter, r *http.Request) (*answer, error) {
	var req CloseRequest
	if err := s.body(w, r, &req); err != nil {
		return nil, err
	}
	f, err := connFilter(req)
	if err != nil {
		return nil, err
	}
	n, err := s.o.Host.CloseConnections(asking(r), f, req.Abort)
	switch {
	case errors.Is(err, host.ErrNoFilter):
		return nil, kindBadRequest.problem("%s", err)
	case err != nil && n > 0:
		return nil, problemOf(errors.Join(err, fmt.Errorf("others that were closed: %d", n)), kindInternal)
	case err != nil:
		return nil, err
	}
	return &answer{body: closeAnswer{n}}, nil
}
