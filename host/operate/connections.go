package operate

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wirehost/wirehost/host"
)

// Connections tells of the connections of this process, and of those before it that have
// some left: they come behind this one's.
func (a administered) Connections(ctx context.Context, q host.ConnQuery) (host.ConnPage, error) {
	others := a.predecessors.list()
	if len(others) == 0 {
		return a.Host.Connections(ctx, q)
	}
	if pid, after, ok := placeIn(q.After); ok {
		q.After = after
		return pageOf(ctx, others, pid, q)
	}
	page, err := a.Host.Connections(ctx, q)
	if err != nil && !errors.Is(err, host.ErrUnknown) || page.Next != "" {
		return page, err
	}
	if q.Sort == "" {
		if err == nil {
			page.Next = processPlace(others[0].pid)
			return page, nil
		}
		if theirs, askErr := pageOf(ctx, others, others[0].pid, q); askErr == nil {
			return theirs, nil
		}
		return page, err
	}
	for _, p := range others {
		theirs, askErr := p.connections(ctx, q)
		if askErr != nil {
			continue // it has no such plugin, or has ended
		}
		err = nil
		page.Connections = append(page.Connections, theirs.Connections...)
		page.Matched += theirs.Matched
	}
	slices.SortStableFunc(page.Connections, func(x, y host.ConnInfo) int {
		return cmp.Compare(sortKey(y, q.Sort), sortKey(x, q.Sort))
	})
	if q.Limit > 0 && len(page.Connections) > q.Limit {
		page.Connections = page.Connections[:q.Limit]
	}
	return page, err
}

// CloseConnections closes those of this process, and of those before it.
func (a administered) CloseConnections(ctx context.Context, f host.ConnFilter, abort bool) (int, error) {
	closed, err := a.Host.CloseConnections(ctx, f, abort)
	if err != nil && !errors.Is(err, host.ErrUnknown) && !errors.Is(err, host.ErrNoConnection) {
		return closed, err
	}
	theirs := 0
	for _, p := range a.predecessors.list() {
		var answer struct{ Closed int }
		request := closeRequest{Abort: abort, IDs: f.IDs, filter: filterOf(f)}
		if p.ask(ctx, http.MethodPost, "/v1/connections/close", request, &answer) == nil {
			theirs += answer.Closed
		}
	}
	if theirs > 0 && (len(f.IDs) == 0 || closed+theirs >= len(f.IDs)) {
		err = nil
	}
	return closed + theirs, err
}

// sortKey is what a connection is sorted by.
func sortKey(c host.ConnInfo, by string) float64 {
	switch by {
	case "age":
		return c.Age
	case "idle":
		return c.Idle
	case "in":
		return float64(c.In)
	case "out":
		return float64(c.Out)
	}
	return float64(c.Queued)
}

// processPlace is a ConnPage's Next that begins with a process; placeIn reads one.
func processPlace(pid int) string { return "process-" + strconv.Itoa(pid) + ":" }

func placeIn(after string) (pid int, rest string, ok bool) {
	number, found := strings.CutPrefix(after, "process-")
	if !found {
		return 0, "", false
	}
	number, rest, found = strings.Cut(number, ":")
	pid, err := strconv.Atoi(number)
	return pid, rest, found && err == nil
}

// pageOf is the page of a process, or of the next one where that has ended.
func pageOf(ctx context.Context, others []*predecessor, pid int, q host.ConnQuery) (host.ConnPage, error) {
	reached := false
	var err error
	for n, p := range others {
		if reached = reached || p.pid == pid; !reached {
			continue
		}
		var page host.ConnPage
		if page, err = p.connections(ctx, q); err != nil {
			q.After = ""
			continue
		}
		switch {
		case page.Next != "":
			page.Next = processPlace(p.pid) + page.Next
		case n+1 < len(others):
			page.Next = processPlace(others[n+1].pid)
		}
		return page, nil
	}
	var no *refused
	if errors.As(err, &no) {
		return host.ConnPage{}, host.ErrUnknown
	}
	return host.ConnPage{Connections: []host.ConnInfo{}}, nil
}

// connections asks the process for some of its own.
func (p *predecessor) connections(ctx context.Context, q host.ConnQuery) (page host.ConnPage, err error) {
	f := filterOf(q.ConnFilter)
	v := url.Values{"id": q.IDs}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	for key, text := range map[string]string{
		"plugin": f.Plugin, "version": f.Version, "peer": f.Peer, "listener": f.Listener, "state": f.State,
		"idle_for": f.IdleFor, "age": f.Age, "sort": q.Sort, "after": q.After,
	} {
		if text != "" {
			v.Set(key, text)
		}
	}
	err = p.ask(ctx, http.MethodGet, "/v1/connections?"+v.Encode(), nil, &page)
	for n := range page.Connections {
		page.Connections[n].Process = strconv.Itoa(p.pid)
	}
	page.Late = nil // its loops are not this one's
	return page, err
}

// filter is a ConnFilter as the administration reads it.
type filter struct {
	Plugin   string `json:"plugin,omitempty"`
	Version  string `json:"version,omitempty"`
	Peer     string `json:"peer,omitempty"`
	Listener string `json:"listener,omitempty"`
	State    string `json:"state,omitempty"`
	IdleFor  string `json:"idle_for,omitempty"`
	Age      string `json:"age,omitempty"`
}

// closeRequest asks for an end.
type closeRequest struct {
	filter
	IDs   []string `json:"ids,omitempty"`
	Abort bool     `json:"abort,omitempty"`
}

func filterOf(f host.ConnFilter) filter {
	text := func(d time.Duration) string {
		if d <= 0 {
			return ""
		}
		return d.String()
	}
	out := filter{Plugin: f.Plugin, Version: f.Version, Listener: f.Listener, State: f.State,
		IdleFor: text(f.IdleFor), Age: text(f.Age)}
	if f.Peer != (netip.Prefix{}) {
		out.Peer = f.Peer.String()
	}
	return out
}
