package host

import (
	"context"
	"crypto/tls"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// visitors come to an address, one after the other, until they are stopped.
type visitors struct {
	stop chan struct{}
	all  sync.WaitGroup
}

func comeTo(t *testing.T, addr string) *visitors {
	v := &visitors{stop: make(chan struct{})}
	for range 4 {
		v.all.Go(func() {
			for {
				select {
				case <-v.stop:
					return
				default:
				}
				if err := (&counting{}).come(addr); err != nil {
					t.Errorf("a visitor of %s: %v", addr, err)
					return
				}
			}
		})
	}
	return v
}

func (v *visitors) end() {
	close(v.stop)
	v.all.Wait()
}

func (c *counting) come(addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	c.Conn = conn
	return c.roundTrip(1)
}

// TestReloadAddress goes from one address of a port to another that is in its way, and
// back, in one change each: whoever comes meanwhile is served.
func TestReloadAddress(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("sockets can't share a port here")
	}
	cfg := configuration(numbered("testdata/counter.wasm", config.IsolationLoop, 0))
	s := serve(t, cfg)
	addr := s.addrs[0]
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	v := comeTo(t, addr)
	for _, host := range []string{"0.0.0.0", "127.0.0.1", "[::]", "127.0.0.1", "localhost"} {
		next := cfg
		next.Listeners = []config.Listener{{Endpoint: "tcp://" + host + ":" + port, Plugin: "guest"}}
		bad := next
		bad.Listeners = append(slices.Clone(next.Listeners),
			config.Listener{Endpoint: "tcp://192.0.2.1:1", Plugin: "guest"})
		before := len(s.ListenerInfos())
		if _, err := s.Reload(context.Background(), bad); err == nil || len(s.ListenerInfos()) != before {
			t.Errorf("%s: found %v, and %d listeners, wanted a refusal and %d", host, err, len(s.ListenerInfos()),
				before)
		}
		change, err := s.Reload(context.Background(), next)
		if err != nil || len(change.Added) != 1 || len(change.Removed) != 1 {
			t.Errorf("%s: found %+v, %v", host, change, err)
		}
		if err := (&counting{}).come(addr); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		if ln, err := net.Listen("tcp", addr); err == nil && runtime.GOOS == "linux" {
			ln.Close()
			t.Errorf("%s: another may listen on the port", host)
		}
	}
	v.end()
}

// TestReloadScheme goes from plain connections to TLS and back on one socket: those that
// are there go on, and new ones are of the new kind.
func TestReloadScheme(t *testing.T) {
	cert, key, pool := certificate(t, time.Now().Add(time.Hour))
	cfg := configuration(numbered("testdata/counter.wasm", config.IsolationLoop, 0))
	s := serve(t, cfg)
	addr := s.addrs[0]
	plain := &counting{Conn: dial(t, addr)}
	if err := plain.roundTrip(1); err != nil {
		t.Fatal(err)
	}
	encrypted := cfg
	encrypted.Listeners = []config.Listener{{Endpoint: "tls://" + addr, Plugin: "guest",
		TLS: config.TLS{Cert: cert, Key: key}}}
	again := cfg
	again.Listeners = []config.Listener{{Endpoint: "tcp://" + addr, Plugin: "guest"}}
	for _, next := range []config.Config{again, encrypted, again} { // the first has port 0 for the same
		change, err := s.Reload(context.Background(), next)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.ListenerInfos()[0].Endpoint; got != next.Listeners[0].Endpoint {
			t.Errorf("found %s, wanted %s; %+v", got, next.Listeners[0].Endpoint, change)
		}
		c := &counting{Conn: dial(t, addr)}
		if strings.HasPrefix(next.Listeners[0].Endpoint, "tls") {
			c.Conn = tls.Client(c.Conn, &tls.Config{RootCAs: pool, ServerName: "localhost"})
		}
		if err := c.roundTrip(1); err != nil {
			t.Errorf("%s: %v", next.Listeners[0].Endpoint, err)
		}
		c.Close()
		if err := plain.roundTrip(1); err != nil { // that of before
			t.Errorf("%s: %v", next.Listeners[0].Endpoint, err)
		}
	}
}
