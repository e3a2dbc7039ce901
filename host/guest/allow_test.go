package guest

import (
	"net/netip"
	"testing"

	"github.com/wirehost/wirehost/reactor"
)

func TestAllowEndpoint(t *testing.T) {
	for _, c := range []struct {
		pattern, endpoint string
		want              bool
	}{
		{"tcp://db.example:5432", "tcp://db.example:5432", true},
		{"tcp://db.example:5432", "tcp://DB.Example.:5432", true},
		{"tcp://db.example:5432", "tcp://db.example:5433", false},
		{"tcp://db.example:5432", "tls://db.example:5432", false},
		{"tcp://db.example:5432", "tcp://xdb.example:5432", false},
		{"tcp://127.0.0.1:*", "tcp://127.0.0.1:80", true},
		{"tcp://127.0.0.1:*", "tcp://127.0.0.2:80", false},
		{"tcp://127.0.0.1:*", "tcp://[::ffff:127.0.0.1]:80", true},
		{"tcp://[::1]:80", "tcp://[0:0::1]:80", true},
		{"tcp://*:443", "tcp://a.b.c:443", true},
		{"tcp://*:443", "tcp://a.b.c:444", false},
		{"tls://*.example.com:*", "tls://a.example.com:1", true},
		{"tls://*.example.com:*", "tls://a.b.example.com:1", true},
		{"tls://*.example.com:*", "tls://example.com:1", false},
		{"tls://*.example.com:*", "tls://badexample.com:1", false},
		{"tls://*.1:*", "tls://10.0.0.1:1", false}, // an address is no name
		{"tcp://db.example.:80", "tcp://db.example:80", true},
		{"tcp://*.Example.COM.:80", "tcp://a.example.com:80", true},
		{"tcp://db.example:080", "tcp://db.example:80", true},
		{"unix:///run/a.sock", "unix:///run/a.sock", true},
		{"unix:///run/a.sock", "unix:///run/../run/a.sock", true}, // the same path
		{"unix:///run/a.sock", "unix:///run/b.sock", false},
		{"unix:///run//x/../a.sock", "unix:///run/a.sock", true},
		{"unix://@a", "unix://@a", true},
		{"unix://@a", "unix://@b", false},
	} {
		a, err := NewAllowList([]string{c.pattern}, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		ep, err := reactor.ParseEndpoint(c.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.endpoint(ep); got != c.want {
			t.Errorf("%s allows %s: %v", c.pattern, c.endpoint, got)
		}
	}
	if a, _ := NewAllowList(nil, false, nil); a.endpoint(reactor.Endpoint{Scheme: "tcp", Host: "127.0.0.1", Port: 80}) {
		t.Error("an empty list allows something")
	}
}

// allowed are what a list is made of.
type allowed struct {
	patterns []string
	private  bool
}

func TestAllowAddress(t *testing.T) {
	for _, c := range []struct {
		allow    allowed
		endpoint string
		addr     string
		want     bool
	}{
		{allowed{[]string{"tcp://a.example:*"}, false}, "tcp://a.example:80", "93.184.216.34", true},
		{allowed{[]string{"tcp://a.example:*"}, false}, "tcp://a.example:80", "127.0.0.1", false},
		{allowed{[]string{"tcp://a.example:*"}, true}, "tcp://a.example:80", "127.0.0.1", true},
		{allowed{[]string{"tcp://127.0.0.1:*"}, false}, "tcp://127.0.0.1:80", "127.0.0.1", true},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://127.0.0.1:80", "127.0.0.1", false},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://a.example:80", "10.1.2.3", false},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://a.example:80", "169.254.169.254", false},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://a.example:80", "100.64.1.1", false},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://a.example:80", "0.0.0.0", false},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://a.example:80", "255.255.255.255", false},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://a.example:80", "::1", false},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://a.example:80", "::ffff:127.0.0.1", false},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://a.example:80", "fe80::1", false},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://a.example:80", "fd00::1", false},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://a.example:80", "64:ff9b::7f00:1", false},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://a.example:80", "2002:7f00:1::", false},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://a.example:80", "ff02::1", false},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://a.example:80", "2606:2800:220:1::1", true},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://[64:ff9b::a00:1%eth0]:80", "64:ff9b::a00:1%eth0", false},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://[2002:7f00:1::%lo]:80", "2002:7f00:1::%lo", false},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://[fec0::1%eth0]:80", "fec0::1%eth0", false},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://[fd00::1%eth0]:80", "fd00::1%eth0", false},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://[::1%lo]:80", "::1%lo", false},
		{allowed{[]string{"tcp://[fe80::1%eth0]:*"}, false}, "tcp://[fe80::1%eth0]:80", "fe80::1%eth0", true},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://a.example:80", "::7f00:1", false},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://a.example:80", "::ffff:0:7f00:1", false},
		{allowed{[]string{"tcp://*:*"}, false}, "tcp://a.example:80", "2001:0:4136:e378:8000:63bf:3fff:fdd2", false},
	} {
		a, err := NewAllowList(c.allow.patterns, c.allow.private, nil)
		if err != nil {
			t.Fatal(err)
		}
		ep, err := reactor.ParseEndpoint(c.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.address(ep, netip.MustParseAddr(c.addr)); (err == nil) != c.want {
			t.Errorf("%v: %s at %s: %v", c.allow, c.endpoint, c.addr, err)
		}
	}
}

func TestAllowPatterns(t *testing.T) {
	for _, bad := range []string{"", "tcp://", "tcp://a", "tcp://:80", "sctp://a:1", "tcp://a:port", "tcp://a:70000",
		"tcp://a*b:1", "tcp://*a:1", "tcp://*.:1", "tcp://.:1", "unix://relative", "a:1"} {
		if _, err := NewAllowList([]string{bad}, false, nil); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// TestListenList: where a guest may listen.
func TestListenList(t *testing.T) {
	for _, c := range []struct {
		pattern, endpoint string
		want              bool
	}{
		{"tcp://127.0.0.1:21", "tcp://127.0.0.1:21", true},
		{"tcp://127.0.0.1:21", "tcp://127.0.0.1:22", false},
		{"tcp://127.0.0.1:21", "tls://127.0.0.1:21", false},
		{"tcp://127.0.0.1:21", "tcp://127.0.0.2:21", false},
		{"tcp://127.0.0.1:*", "tcp://127.0.0.1:0", true},
		{"tcp://127.0.0.1:0", "tcp://127.0.0.1:0", true},
		{"tcp://127.0.0.1:0", "tcp://127.0.0.1:21", false},
		{"tcp://*:21", "tcp://:21", true},
		{"tcp://*:21", "tcp://[::1]:21", true},
		{"tcp://:21", "tcp://:21", true},
		{"tcp://:21", "tcp://0.0.0.0:21", false},
		{"tcp://0.0.0.0:21", "tcp://127.0.0.1:21", false},
		{"tls://[::1]:*", "tls://[0:0::1]:990", true},
		{"unix:///run/a", "unix:///run/../run/a", true},
		{"unix:///run/a", "unix:///run/b", false},
		{"unix://@a", "unix://@a", true}, // Linux's names that are no files
		{"unix://@a", "unix:///a", false},
	} {
		l, err := NewListenList([]string{c.pattern}, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ep, err := reactor.ParseEndpoint(c.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.allows(ep); got != c.want {
			t.Errorf("%s for %s: found %t, wanted %t", c.pattern, c.endpoint, got, c.want)
		}
	}
	if _, err := NewListenList([]string{"udp://*:1"}, nil, 0); err == nil {
		t.Error("found no error of a pattern that is none")
	}
	if (*ListenList)(nil).allows(reactor.Endpoint{Scheme: "tcp"}) {
		t.Error("nothing allows something")
	}
}
