package admin

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host"
)

// What a request says of connections is what the host is asked.
func TestConnectionQueries(t *testing.T) {
	f := newFake()
	s := New(Options{Host: f})
	filter := host.ConnFilter{IDs: []string{"echo/1", "echo/2"}, Plugin: "echo", Version: "echo@aa",
		Peer: netip.MustParsePrefix("10.0.0.0/8"), Listener: "tcp://:7", State: "open", IdleFor: time.Minute,
		Age: time.Hour}
	ask(t, s, "GET /v1/connections?id=echo/1&id=echo/2&plugin=echo&version=echo@aa&peer=10.0.0.0/8&listener=tcp://:7&"+
		"state=open&idle_for=1m&age=1h&sort=idle&limit=7", "")
	if want := (host.ConnQuery{ConnFilter: filter, Sort: "idle", Limit: 7}); !reflect.DeepEqual(f.query, want) {
		t.Errorf("found  %+v\nwanted %+v", f.query, want)
	}
	ask(t, s, "GET /v1/connections?after=1.5&peer=::ffff:10.1.2.3", "")
	want := host.ConnQuery{ConnFilter: host.ConnFilter{Peer: netip.MustParsePrefix("10.1.2.3/32")}, After: "1.5",
		Limit: pageSize}
	if !reflect.DeepEqual(f.query, want) {
		t.Errorf("found  %+v\nwanted %+v", f.query, want)
	}
	ask(t, s, "POST /v1/connections/close", `{"ids":["echo/1","echo/2"],"plugin":"echo","version":"echo@aa",`+
		`"peer":"10.0.0.0/8","listener":"tcp://:7","state":"open","idle_for":"1m","age":"1h","abort":true}`,
		"User-Agent: "+UserAgent+"1")
	if !reflect.DeepEqual(f.closing, filter) || !f.aborted || f.by.Trigger != "command" {
		t.Errorf("found %+v, %v, %+v", f.closing, f.aborted, f.by)
	}
}

// Where a setting was said is told; what was loaded at run time is no default.
// TestConnParameters: what a query is written as is what is read of it, and so is what a
// filter asks to close.
func TestConnParameters(t *testing.T) {
	for _, q := range []host.ConnQuery{
		{Limit: pageSize},
		{ConnFilter: host.ConnFilter{IDs: []string{"a/1", "b/2"}, Plugin: "a", Version: "a@0123456789ab",
			Peer: netip.MustParsePrefix("2001:db8::/32"), Listener: "tcp://[::1]:1", State: "paused",
			IdleFor: time.Second, Age: time.Hour}, Sort: "in", Limit: 7},
		{ConnFilter: host.ConnFilter{Peer: netip.MustParsePrefix("192.0.2.7/32")}, Limit: MaxPage, After: "a b&c=d"},
	} {
		found, err := connQuery(ConnParameters(q))
		if err != nil || !reflect.DeepEqual(found, q) {
			t.Errorf("found %+v, %v, wanted %+v", found, err, q)
		}
		filter, err := connFilter(NewCloseRequest(q.ConnFilter, true))
		if err != nil || !reflect.DeepEqual(filter, q.ConnFilter) {
			t.Errorf("found %+v, %v, wanted %+v", filter, err, q.ConnFilter)
		}
	}
}

func TestOriginsAtRunTime(t *testing.T) {
	origins := map[string]string{"plugins.mine.module": "w.yaml:2"}
	for key, want := range map[string]bool{
		"plugins.mine.drain": false, "plugins.echo.module": false, "plugins.new.module": true, "reactor.loops": false,
	} {
		if got := atRunTime(key, origins); got != want {
			t.Errorf("%s: found %v, wanted %v", key, got, want)
		}
	}
}
