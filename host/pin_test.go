package host

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// TestKeepVersions: as many replaced versions stay as is configured, apart from their drain
// time, with what they are compiled to; a module that comes back is one of them.
func TestKeepVersions(t *testing.T) {
	version := func(n int) config.Config {
		p := numbered("testdata/counter.wasm", config.IsolationLoop, n)
		p.Keep, p.Drain = 2, time.Second
		return configuration(p)
	}
	v := serveVirtual(t, version(0))
	names := []string{v.plugins["guest"].current().name}
	for n := 1; n <= 3; n++ {
		change, err := v.Reload(context.Background(), version(n))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, change.Plugins[0].Version)
	}
	v.logs.await(t, "version is retired", 1)
	v.turn(t, time.Hour)
	loaded := func(want ...string) {
		t.Helper()
		info, err := v.Plugin("guest")
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, v := range info.Versions {
			found = append(found, v.Name+" "+string(v.State))
		}
		if fmt.Sprint(found) != fmt.Sprint(want) {
			t.Errorf("found %v, wanted %v", found, want)
		}
	}
	loaded(names[3]+" active", names[2]+" standby", names[1]+" standby")
	out, err := v.UsePlugin(context.Background(), names[1])
	if err != nil || out.Version != names[1] {
		t.Fatalf("%+v, %v", out, err)
	}
	v.logs.await(t, "version is standby", 4) // its instance ends after the answer
	loaded(names[1]+" active", names[3]+" standby", names[2]+" standby")
	change, err := v.Reload(context.Background(), version(2))
	if err != nil || change.Plugins[0].Version == names[2] {
		t.Fatalf("%+v, %v: settings that changed hold for the pinned module", change, err)
	}
}

// TestForcedReloadKeepsNoCopy: what is loaded again, from the same bytes, leaves nothing of
// itself behind.
func TestForcedReloadKeepsNoCopy(t *testing.T) {
	s := serve(t, configuration(numbered("testdata/counter.wasm", config.IsolationLoop, 0)))
	for n := range 5 {
		if out, err := s.ReloadPlugin(context.Background(), "guest", true); err != nil || out.Unchanged {
			t.Fatalf("%+v, %v", out, err)
		}
		s.logs.await(t, "version is retired", n+1)
	}
	if info, err := s.Plugin("guest"); err != nil || len(info.Versions) != 1 {
		t.Errorf("found %+v, %v, wanted one version", info.Versions, err)
	}
}

// TestCanaryThatSawNothing begins anew, a few times, and then says so; one that a
// connection comes to late has all of its time with it.
func TestCanaryThatSawNothing(t *testing.T) {
	p := numbered("testdata/counter.wasm", config.IsolationLoop, 0)
	v := serveVirtual(t, configuration(p))
	begin := func(n int) chan error {
		p.Config, p.Canary = map[string]any{"n": n}, config.Canary{Connections: 1, For: time.Minute}
		done := make(chan error, 1)
		go func() {
			change, err := v.Reload(context.Background(), configuration(p))
			if err == nil && change.Plugins[0].Canary != "" {
				err = fmt.Errorf("%s", change.Plugins[0])
			}
			done <- err
		}()
		return done
	}
	const anew = "the canary has seen no connection for long enough: its time begins anew"
	done := begin(1)
	v.logs.await(t, "canary", 1)
	for n := range canaryPatience {
		v.turn(t, 0)
		v.turn(t, time.Minute)
		v.logs.await(t, anew, n+1)
	}
	v.turn(t, 0)
	v.turn(t, time.Minute)
	if err := <-done; err == nil || !strings.Contains(err.Error(), "its canary saw no connection within 10m0s") {
		t.Errorf("found %v, wanted that nothing came", err)
	}

	done = begin(2)
	v.logs.await(t, "canary", 2)
	v.turn(t, 0)
	v.turn(t, time.Minute)
	v.logs.await(t, anew, canaryPatience+1)
	c := &counting{Conn: v.dial(t)}
	if err := c.roundTrip(3); err != nil {
		t.Fatal(err)
	}
	v.turn(t, time.Minute)
	v.logs.await(t, anew, canaryPatience+2)
	v.turn(t, 0)
	v.turn(t, time.Minute-time.Second)
	select {
	case err := <-done:
		t.Fatalf("found the end of the canary, %v, wanted all of its time with the connection", err)
	default:
	}
	v.turn(t, time.Second)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// FuzzPin reads what a state may have become.
func FuzzPin(f *testing.F) {
	text, err := json.Marshal(Pin{Version: "p@0123456789ab", Section: config.DefaultPlugin()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		var p Pin
		if json.Unmarshal(text, &p) != nil {
			return
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var q Pin
		if err := json.Unmarshal(again, &q); err != nil || !sameSection(p.Section, q.Section) {
			t.Errorf("%+v became %+v, %v", p, q, err)
		}
	})
}
