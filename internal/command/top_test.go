package command

import (
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/admin"
)

// A table has rates, and fits where it is to stand.
func TestTopFrame(t *testing.T) {
	at := time.Unix(1000, 0)
	plugin := func(calls uint64) host.PluginInfo {
		p := host.PluginInfo{Name: "echo", State: "active", Active: "echo@1", Connections: 3}
		p.Callbacks.Counts[0] = calls
		return p
	}
	before := &sample{at: at, status: admin.Status{Opened: 10, In: 1000}, plugins: []host.PluginInfo{plugin(100)},
		conns: []host.ConnInfo{{ID: "echo/1", In: 5000}}}
	now := &sample{at: at.Add(2 * time.Second), status: admin.Status{Opened: 30, In: 3000, Connections: 3, Ready: true},
		plugins: []host.PluginInfo{plugin(300)},
		conns: []host.ConnInfo{{ID: "echo/1", In: 9000, Peer: "tcp://\x1b[2J"}, {ID: "echo/2", In: 10},
			{ID: "echo/3"}}}
	text := strings.Join(frame(before, now, "in", "", 200, 50), "\n")
	for _, want := range []string{"3 connections, 10 new a second; 1000 B/s in", ", ready\n", "Connections by in;",
		"tcp://\\x1b[2J"} {
		if !strings.Contains(text, want) {
			t.Errorf("found no %q in\n%s", want, text)
		}
	}
	squeezed := squeezed(text)
	for _, want := range []string{"echo  active  echo@1  3  0  0 B  100  0  0", "  2000 B  0 B  0 B",
		"  10 B  0 B  -  -"} {
		if !strings.Contains(squeezed, want) {
			t.Errorf("found no %q in\n%s", want, squeezed)
		}
	}
	upgraded := *now
	upgraded.all, upgraded.conns = 5, append(upgraded.conns[:3:3], host.ConnInfo{ID: "echo/4", Process: "7"})
	if head := frame(before, &upgraded, "in", "", 200, 50)[1]; !strings.HasPrefix(head,
		"5 connections (3 of this process), 10 new") {
		t.Errorf("found %q", head)
	}
	for _, size := range [][2]int{{80, 24}, {40, 10}, {1, 1}, {20, 7}} {
		list := frame(before, now, "in", "it is gone", size[0], size[1])
		if len(list) > size[1] {
			t.Errorf("%v: found %d lines", size, len(list))
		}
		for _, line := range list {
			if len([]rune(line)) > size[0] {
				t.Errorf("%v: found %q", size, line)
			}
		}
	}
	if list := limited([]string{"a", "b", "c"}, 2); len(list) != 2 || list[1] != "… 2 more" {
		t.Errorf("found %q", list)
	}
}

// Without a terminal each table follows the one before.
func TestTopWithoutTerminal(t *testing.T) {
	o, _, _, _ := builtins(t)
	out := o.fine("top", "--count=2", "--interval=100ms", "--sort=in")
	if strings.Count(out, "Connections by in") != 2 || strings.Contains(out, "\x1b") ||
		!strings.Contains(out, "\nlinereceiver/1  tcp://127.0.0.1:") {
		t.Errorf("found\n%s", out)
	}
	for args, want := range map[string]string{
		"top --interval 1ms": "--interval: found 1ms, wanted at least 100ms",
		"top --sort size":    `--sort: found "size", wanted one of age, idle, in, out, queued`,
		"top --count -1":     "--count: found -1, wanted a number from 0 up",
	} {
		if r := o.run(strings.Fields(args)...); r.code != exitUsage || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: found %+v, wanted %q", args, r, want)
		}
	}
}
