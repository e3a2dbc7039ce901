package host

import (
	"cmp"
	pile "container/heap"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// ConnInfo is a live connection, accepted or outgoing.
type ConnInfo struct {
	ID        string  `json:"id"` // PLUGIN/HANDLE
	Plugin    string  `json:"plugin"`
	Version   string  `json:"version"`
	Peer      string  `json:"peer"`     // an endpoint, such as tcp://127.0.0.1:5000
	Host      string  `json:"host"`     // our end of it
	Listener  string  `json:"listener"` // the endpoint that has accepted it; "" = it is outgoing
	Loop      int     `json:"loop"`     // from 0 up
	Age       float64 `json:"age_seconds"`
	Idle      float64 `json:"idle_seconds"` // since its last byte
	In        uint64  `json:"bytes_in"`
	Out       uint64  `json:"bytes_out"`    // to the socket
	Queued    int     `json:"bytes_queued"` // the guest has written them, and the socket has not taken them yet
	State     string  `json:"state"`        // open, closing, half-closed, connecting, paused
	Outgoing  bool    `json:"outgoing"`
	Encrypted bool    `json:"tls"`
	// Process is the process that has the connection; "" = the one that is asked.
	Process string `json:"process,omitempty"`
}

// ConnFilter says which connections are meant: those that are all of it. The zero value
// means every one.
type ConnFilter struct {
	IDs      []string      // as in ConnInfo; one of them
	Plugin   string        // of any version
	Version  string        // NAME@HASH
	Peer     netip.Prefix  // of TCP, before any proxy that told it
	Listener string        // an endpoint that is listened on
	State    string        // as in ConnInfo
	IdleFor  time.Duration // without a byte, at least
	Age      time.Duration // at least
}

// IsZero tells whether it means every connection.
func (f ConnFilter) IsZero() bool {
	return len(f.IDs) == 0 && f.Plugin == "" && f.Version == "" && !f.Peer.IsValid() && f.Listener == "" &&
		f.State == "" && f.IdleFor <= 0 && f.Age <= 0
}

// ConnQuery is a filter, and which of what it means are told.
type ConnQuery struct {
	ConnFilter
	Sort  string // one of ConnSorts, the greatest first; "" = as they come
	Limit int    // how many are told; 0 = all
	After string // ConnPage.Next of the page before; "" = from the beginning. Not with Sort.
}

// ConnSorts are what connections can be sorted by.
func ConnSorts() []string { return []string{"age", "idle", "in", "out", "queued"} }

// ConnPage is some of the connections.
type ConnPage struct {
	Connections []ConnInfo `json:"connections"`
	// Next is where the next page begins; "" = there is none. What comes and goes between
	// two pages may be in neither.
	Next string `json:"next,omitempty"`
	// Matched is how many there are, where they are sorted.
	Matched int `json:"matched,omitempty"`
	// Late are the event loops that have not answered within Options.Patience: their
	// connections are missing.
	Late []int `json:"late,omitempty"`
	// Silent are the processes that have handed over to this one, and have not answered in
	// time: the connections that they have left are missing.
	Silent []int `json:"silent,omitempty"`
}

// connsAtOnce is how many of a loop's connections are looked at between two of its
// turns, closedAtOnce how many are closed: what a guest does at each end takes longer.
const (
	connsAtOnce  = 512
	closedAtOnce = 32
)

// ErrNoFilter says that a change was asked for of all connections.
var ErrNoFilter = errors.New("found no connection, plugin, version, peer or other filter, wanted one: " +
	"every connection is closed by ending the host")

// Connections tells of live connections of every plugin, also of those that were
// unloaded. The loops are asked in pieces, so that many connections hold up none. The
// error is ErrUnknown for a plugin, version or listener that is not there, ErrNotRunning,
// or ctx's.
func (h *Host) Connections(ctx context.Context, q ConnQuery) (ConnPage, error) {
	s, err := h.newScan(q.ConnFilter)
	if err != nil {
		return ConnPage{}, err
	}
	at, err := parsePlace(q.After)
	if err != nil {
		return ConnPage{}, err
	}
	l := &connList{scan: s, q: q, page: ConnPage{Connections: []ConnInfo{}}}
	w := &walk{h: h, at: at, most: connsAtOnce, patience: h.o.Patience, paged: q.Sort == ""}
	if l.page.Next, err = w.each(ctx, l.take); err != nil {
		return ConnPage{}, err
	}
	l.page.Late = w.late
	l.sort()
	return l.page, nil
}

// CloseConnections closes the connections that f means: in order, what is queued first,
// or with abort at once. It does not wait until they have ended. The errors are
// ErrNoFilter for a filter that means all, and those of Connections; of IDs that nothing
// has, ErrNoConnection, after the others were closed.
func (h *Host) CloseConnections(ctx context.Context, f ConnFilter, abort bool) (closed int, err error) {
	if f.IsZero() {
		return 0, ErrNoFilter
	}
	s, err := h.newScan(f)
	if err != nil {
		return 0, err
	}
	found := map[string]bool{}
	w := &walk{h: h, most: closedAtOnce}
	_, err = w.each(ctx, func(t reactor.Transport, p reactor.Protocol) bool {
		c, of, ok := s.match(t, p)
		if !ok {
			return true
		}
		if len(f.IDs) > 0 {
			found[connID(of, c)] = true
		}
		switch {
		case abort:
			t.Abort(reactor.Aborted, nil)
		case t.State()&reactor.StateClosing != 0:
			return true
		default:
			t.LoseConnection()
		}
		closed++
		return true
	})
	h.log.Info("connections were closed", append([]any{"connections", closed, "abort", abort, "which", f.String()},
		ByOf(ctx).LogArgs()...)...)
	if err != nil {
		return closed, err
	}
	var missing []error
	for _, id := range f.IDs {
		if !found[id] {
			missing = append(missing, fmt.Errorf("connection %s: %w", id, ErrNoConnection))
		}
	}
	return closed, errors.Join(missing...)
}

// String is the filter on one line, for people.
func (f ConnFilter) String() string {
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+"="+value)
		}
	}
	add("ids", strings.Join(f.IDs[:min(len(f.IDs), 10)], ","))
	add("plugin", f.Plugin)
	add("version", f.Version)
	if f.Peer.IsValid() {
		add("peer", f.Peer.String())
	}
	add("listener", f.Listener)
	add("state", f.State)
	if f.IdleFor > 0 {
		add("idle_for", f.IdleFor.String())
	}
	if f.Age > 0 {
		add("age", f.Age.String())
	}
	return strings.Join(parts, " ")
}

// connList gathers a page.
type connList struct {
	*scan
	q      ConnQuery
	page   ConnPage
	sorted ranking // where they are sorted
}

// take looks at one. On its loop.
func (l *connList) take(t reactor.Transport, p reactor.Protocol) (more bool) {
	c, of, ok := l.match(t, p)
	if !ok {
		return true
	}
	if l.q.Sort == "" {
		l.page.Connections = append(l.page.Connections, connInfo(t, c, of))
		return l.q.Limit == 0 || len(l.page.Connections) < l.q.Limit
	}
	l.page.Matched++
	stats, now := t.Stats(), t.Loop().Now()
	key := sortKey(l.q.Sort, (now - stats.Opened).Seconds(), (now - stats.Active).Seconds(), stats.In, stats.Out,
		stats.Queued)
	switch {
	case l.q.Limit == 0 || len(l.sorted) < l.q.Limit:
		pile.Push(&l.sorted, ranked{key, connInfo(t, c, of)})
	case key > l.sorted[0].key:
		l.sorted[0] = ranked{key, connInfo(t, c, of)}
		pile.Fix(&l.sorted, 0)
	}
	return true
}

// sort puts what was sorted into the page, the greatest first.
func (l *connList) sort() {
	slices.SortFunc(l.sorted, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(b.key, a.key), cmp.Compare(a.info.ID, b.info.ID))
	})
	for _, r := range l.sorted {
		l.page.Connections = append(l.page.Connections, r.info)
	}
}

// ranked is a connection with what it is sorted by; of a ranking, a heap, the first has
// the least.
type (
	ranked struct {
		key  float64
		info ConnInfo
	}
	ranking []ranked
)

func (r ranking) Len() int           { return len(r) }
func (r ranking) Less(i, j int) bool { return r[i].key < r[j].key }
func (r ranking) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *ranking) Push(x any)        { *r = append(*r, x.(ranked)) }

// Pop takes the last away: package heap has put the least there.
func (r *ranking) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}

// sortKey is what a connection is sorted by.
func sortKey(by string, age, idle float64, in, out uint64, queued int) float64 {
	switch by {
	case "age":
		return age
	case "idle":
		return idle
	case "in":
		return float64(in)
	case "out":
		return float64(out)
	}
	return float64(queued)
}

// Merge adds another host's page to one that is sorted, as the query that both answer wants.
func (p *ConnPage) Merge(other ConnPage, q ConnQuery) {
	p.Connections = append(p.Connections, other.Connections...)
	p.Matched += other.Matched
	key := func(c ConnInfo) float64 { return sortKey(q.Sort, c.Age, c.Idle, c.In, c.Out, c.Queued) }
	slices.SortStableFunc(p.Connections, func(x, y ConnInfo) int { return cmp.Compare(key(y), key(x)) })
	if q.Limit > 0 && len(p.Connections) > q.Limit {
		p.Connections = p.Connections[:q.Limit]
	}
}

// connInfo describes a connection. On its loop.
func connInfo(t reactor.Transport, c guest.Connection, of *guest.Guest) ConnInfo {
	stats, state, now := t.Stats(), t.State(), t.Loop().Now()
	return ConnInfo{
		ID: connID(of, c), Plugin: of.AccountName(), Version: of.Name(),
		Peer: t.Peer(), Host: t.Host(), Listener: listenerText(stats), Loop: t.Loop().Index(),
		Age: (now - stats.Opened).Seconds(), Idle: (now - stats.Active).Seconds(),
		In: stats.In, Out: stats.Out, Queued: stats.Queued, State: stateText(c.Connecting, state),
		Outgoing: state&reactor.StateOutgoing != 0, Encrypted: state&reactor.StateTLS != 0,
	}
}

func stateText(connecting bool, s reactor.State) string {
	switch {
	case connecting:
		return "connecting"
	case s&reactor.StateClosing != 0:
		return "closing"
	case s&(reactor.StatePeerClosed|reactor.StateWriteClosed) != 0:
		return "half-closed"
	case s&reactor.StatePaused != 0:
		return "paused"
	}
	return "open"
}
