package host

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// listed are the IDs that a query tells, sorted.
func listed(t *testing.T, h *Host, q ConnQuery) []string {
	t.Helper()
	page, err := h.Connections(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, c := range page.Connections {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	return ids
}

// connected serves a plugin and n connections that have said something, the first most.
func connected(t *testing.T, n int) (s *server, conns []net.Conn) {
	t.Helper()
	cfg := configuration(numbered("testdata/counter.wasm", config.IsolationLoop, 0))
	s = serve(t, cfg)
	for k := range n {
		c := &counting{Conn: dial(t, s.addrs[0])}
		if err := c.roundTrip(n - k); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c.Conn)
	}
	return s, conns
}

func TestConnectionsAreFiltered(t *testing.T) {
	s, _ := connected(t, 3)
	all := []string{"guest/1", "guest/2", "guest/3"}
	version, listener := s.plugins["guest"].current().name, s.Listeners()[0].String()
	for name, tc := range map[string]struct {
		f    ConnFilter
		want []string
	}{
		"nothing":       {ConnFilter{}, all},
		"plugin":        {ConnFilter{Plugin: "guest"}, all},
		"version":       {ConnFilter{Version: version}, all},
		"ids":           {ConnFilter{IDs: []string{"guest/2", "guest/9"}}, all[1:2]},
		"peer":          {ConnFilter{Peer: netip.MustParsePrefix("127.0.0.0/8")}, all},
		"another peer":  {ConnFilter{Peer: netip.MustParsePrefix("10.0.0.0/8")}, nil},
		"listener":      {ConnFilter{Listener: listener}, all},
		"state":         {ConnFilter{State: "open"}, all},
		"another state": {ConnFilter{State: "closing"}, nil},
		"idle":          {ConnFilter{IdleFor: time.Hour}, nil},
		"age":           {ConnFilter{Age: time.Hour}, nil},
		"both":          {ConnFilter{IDs: all[:1], Plugin: "guest", State: "paused"}, nil},
	} {
		if got := listed(t, s.Host, ConnQuery{ConnFilter: tc.f}); !slices.Equal(got, tc.want) {
			t.Errorf("%s: found %v, wanted %v", name, got, tc.want)
		}
	}
	for _, f := range []ConnFilter{{Plugin: "ghost"}, {Version: "guest@000"}, {Version: "ghost@000"},
		{Listener: "tcp://127.0.0.1:1"}} {
		if _, err := s.Connections(context.Background(), ConnQuery{ConnFilter: f}); !errors.Is(err, ErrUnknown) {
			t.Errorf("%v: found %v, wanted ErrUnknown", f, err)
		}
		if _, err := s.CloseConnections(context.Background(), f, true); !errors.Is(err, ErrUnknown) {
			t.Errorf("%v: found %v, wanted ErrUnknown", f, err)
		}
	}
	page, err := s.Connections(context.Background(), ConnQuery{})
	if c := page.Connections[0]; err != nil || c.Listener != listener || c.Age < c.Idle || c.Version != version {
		t.Errorf("found %+v, %v", c, err)
	}
}

// Pages have each connection once, and what is sorted begins with the greatest.
func TestConnectionsInPages(t *testing.T) {
	s, _ := connected(t, 5)
	var got []string
	q := ConnQuery{Limit: 2}
	for pages := 1; ; pages++ {
		page, err := s.Connections(context.Background(), q)
		if err != nil || len(page.Connections) > 2 || pages > 4 {
			t.Fatalf("page %d: found %+v, %v", pages, page, err)
		}
		for _, c := range page.Connections {
			got = append(got, c.ID)
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	if slices.Sort(got); !slices.Equal(got, listed(t, s.Host, ConnQuery{})) {
		t.Errorf("found %v", got)
	}
	for _, limit := range []int{2, 0} {
		page, err := s.Connections(context.Background(), ConnQuery{Sort: "in", Limit: limit})
		if err != nil || page.Matched != 5 || page.Connections[0].ID != "guest/1" ||
			page.Connections[1].ID != "guest/2" || limit > 0 && len(page.Connections) != limit {
			t.Errorf("found %+v, %v", page, err)
		}
	}
	for _, by := range ConnSorts() {
		if n := len(listed(t, s.Host, ConnQuery{Sort: by})); n != 5 {
			t.Errorf("%s: found %d", by, n)
		}
	}
	if _, err := s.Connections(context.Background(), ConnQuery{After: "x"}); err == nil {
		t.Error("found no error of a place that is none")
	}
}

func TestCloseConnections(t *testing.T) {
	s, conns := connected(t, 4)
	ctx := WithBy(context.Background(), By{Trigger: "command", User: "root"})
	if _, err := s.CloseConnections(ctx, ConnFilter{}, false); !errors.Is(err, ErrNoFilter) {
		t.Errorf("found %v, wanted ErrNoFilter", err)
	}
	n, err := s.CloseConnections(ctx, ConnFilter{IDs: []string{"guest/1", "guest/9"}}, false)
	if n != 1 || !errors.Is(err, ErrNoConnection) || !strings.Contains(err.Error(), "guest/9") {
		t.Errorf("found %d, %v", n, err)
	}
	expectEnd(t, conns[0])
	if n, err := s.CloseConnections(ctx, ConnFilter{IDs: []string{"guest/2"}}, true); n != 1 || err != nil {
		t.Errorf("found %d, %v", n, err)
	}
	expectReset(t, conns[1])
	s.logs.await(t, "connections were closed", 2)
	if line := s.logs.all("connections were closed")[0]; line["by"] != "command" ||
		line["which"] != "ids=guest/1,guest/9" {
		t.Errorf("found %v", line)
	}
	// Those of a plugin that was unloaded are visible, and can be ended.
	if _, err := s.UnloadPlugin(ctx, "guest"); err != nil {
		t.Fatal(err)
	}
	if got := listed(t, s.Host, ConnQuery{ConnFilter: ConnFilter{Plugin: "guest"}}); len(got) != 2 {
		t.Errorf("found %v", got)
	}
	list, err := s.Plugins()
	if err != nil || len(list) != 1 || list[0].State != StateUnloading || list[0].Connections != 2 {
		t.Errorf("found %+v, %v", list, err)
	}
	if n, err := s.CloseConnections(ctx, ConnFilter{Plugin: "guest"}, false); n != 2 || err != nil {
		t.Errorf("found %d, %v", n, err)
	}
	expectEnd(t, conns[2])
	expectEnd(t, conns[3])
	s.logs.await(t, "version is retired", 1)
	if list, err := s.Plugins(); err != nil || len(list) != 0 {
		t.Errorf("found %+v, %v", list, err)
	}
	if _, err := s.CloseConnections(ctx, ConnFilter{Plugin: "guest"}, false); !errors.Is(err, ErrUnknown) {
		t.Errorf("found %v of a plugin that is gone, wanted ErrUnknown", err)
	}
}

// A loop that does not answer is left out, and named; where a page has begun, the next
// one begins with it.
func TestConnectionsOfALateLoop(t *testing.T) {
	s, _ := connected(t, 4)
	s.o.Patience = 500 * time.Millisecond
	held, let := make(chan struct{}), make(chan struct{})
	if err := s.reactor.Loops()[1].CallFromThread(func() { close(held); <-let }); err != nil {
		t.Fatal(err)
	}
	<-held
	ctx := context.Background()
	ask := func(q ConnQuery) (page ConnPage, err error) {
		for {
			page, err = s.Connections(ctx, q)
			if !slices.Contains(page.Late, 0) { // on a busy machine it may be, though it does nothing
				return page, err
			}
		}
	}
	page, err := ask(ConnQuery{Sort: "in"})
	if err != nil || !slices.Equal(page.Late, []int{1}) || len(page.Connections) == 0 ||
		slices.ContainsFunc(page.Connections, func(c ConnInfo) bool { return c.Loop == 1 }) {
		t.Errorf("sorted: found %+v, %v", page, err)
	}
	if page, err = ask(ConnQuery{}); err != nil || page.Next != "1.0" || page.Late != nil {
		t.Errorf("a page: found %+v, %v", page, err)
	}
	if page, err = s.Connections(ctx, ConnQuery{After: "1.0"}); err != nil || page.Next != "" ||
		!slices.Equal(page.Late, []int{1}) || len(page.Connections) != 0 {
		t.Errorf("the next page: found %+v, %v", page, err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.CloseConnections(ended, ConnFilter{Plugin: "guest"}, true); !errors.Is(err, context.Canceled) {
		t.Errorf("found %v, wanted that who asks has gone", err)
	}
	close(let)
}
