package config

import (
	"reflect"
	"testing"
	"time"
)

// What a program puts together is told in the words of a file, under its dotted
// name; and what Load makes is sound.
func TestValidate(t *testing.T) {
	sound := func() Config {
		return Config{
			Plugins:   map[string]Plugin{"a": {Module: "builtin:a"}},
			Listeners: []Listener{{Endpoint: "tcp://127.0.0.1:7", Plugin: "a"}},
		}
	}
	set := func(change func(p *Plugin)) func(*Config) {
		return func(c *Config) {
			p := c.Plugins["a"]
			change(&p)
			c.Plugins["a"] = p
		}
	}
	cases := []struct {
		name   string
		change func(c *Config)
		want   string // "" = no fault
	}{
		{"nothing", func(*Config) {}, ""},
		{"a word", set(func(p *Plugin) { p.Isolation = "loops" }),
			`plugins.a.isolation: found "loops", wanted connection, loop or shared; did you mean "loop"?`},
		{"a policy", set(func(p *Plugin) { p.Reload = "swap" }),
			`plugins.a.reload: found "swap", wanted migrate, drain or drop`},
		{"a size", set(func(p *Plugin) { p.Limits.Memory = 1 }),
			`plugins.a.limits.memory: found 1, wanted 64KiB to 4GiB`},
		{"a number", set(func(p *Plugin) { p.Limits.Timers = -1 }),
			`plugins.a.limits.timers: found the number -1, wanted 1 to 16777216`},
		{"a duration", set(func(p *Plugin) { p.Drain = -time.Second }),
			`plugins.a.drain: found -1s, wanted a duration above 0`},
		{"a pause", set(func(p *Plugin) { p.PageOut = -time.Second }),
			`plugins.a.page_out: found -1s, wanted a duration of 0 or more`},
		{"a number that may be 0", set(func(p *Plugin) { p.Limits.Instances = -1 }),
			`plugins.a.limits.instances: found the number -1, wanted 0 to 1048576`},
		{"no module", set(func(p *Plugin) { p.Module = "" }),
			`plugins.a.module: found no module, wanted builtin:NAME, the path of a .wasm file, https://… or ` +
				`oci://HOST/NAME:TAG`},
		{"a NUL byte", set(func(p *Plugin) { p.Module = "a\x00" }),
			`plugins.a.module: found "a\x00", wanted text without a NUL byte`},
		{"an item of a list", set(func(p *Plugin) { p.Allow.Connect = []string{"x"} }),
			`plugins.a.allow.connect.0: found "x" (no scheme), wanted tcp://HOST:PORT, tls://HOST:PORT, ` +
				`unix://PATH, udp://HOST:PORT or plugin://NAME`},
		{"where to listen", set(func(p *Plugin) { p.Allow.Listen = []string{"tcp://localhost:1"} }),
			`plugins.a.allow.listen.0: found "tcp://localhost:1", wanted tcp://HOST:PORT, tls://HOST:PORT or ` +
				`unix:///PATH, where HOST is an address, * or nothing, and PORT a number or *`},
		{"where to listen with TLS", set(func(p *Plugin) { p.Allow.Listen = []string{"tcp://:1", "tls://:1"} }),
			`plugins.a.allow.listen.1: found "tls://:1" without a certificate, wanted allow.tls with cert and key`},
		{"where to listen with TLS, and a certificate", set(func(p *Plugin) {
			p.Allow.Listen, p.Allow.TLS = []string{"tls://:1"}, TLS{Certificates: []Certificate{{"c", "k"}}}
		}), ""},
		{"to whom to hand over", set(func(p *Plugin) { p.Allow.HandOver = []string{"b", "next"} }),
			`plugins.a.allow.hand_over.1: found "next", wanted the name of a plugin`},
		{"a certificate without its key", set(func(p *Plugin) { p.Allow.TLS.Cert = "c.pem" }),
			`plugins.a.allow.tls.key: found no key, wanted the certificate's`},
		{"a name", func(c *Config) { c.Plugins["A.b"] = Plugin{} },
			`plugins.A.b: found the name "A.b", wanted 1 to 64 of the letters a to z, digits, _ and -`},
		{"no endpoint", func(c *Config) {
			c.Listeners[0].Endpoint = ""
		}, `listeners.0.endpoint: found no endpoint, wanted one such as tcp://127.0.0.1:7007`},
		{"a plugin that is none", func(c *Config) {
			c.Listeners[0].Plugin = "b"
		}, `listeners.0.plugin: found "b", wanted the name of one under plugins (a)`},
		{"watermarks", func(c *Config) {
			c.Reactor.WriteBuffer.High = 1 << 10
		}, `reactor.write_buffer.low: found 32KiB (the default), wanted at most high, which is 1KiB`},
		{"two", func(c *Config) { c.Log.Level, c.Listeners[0].TLS.HandshakeTimeout = "x", -1 },
			"log.level: found \"x\", wanted trace, debug, info, warn or error\n" +
				"listeners.0.tls.handshake_timeout: found -1ns, wanted a duration above 0"},
	}
	for _, tc := range cases {
		c := sound()
		tc.change(&c)
		got := ""
		if err := c.WithDefaults().Validate(); err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%s:\nfound  %s\nwanted %s", tc.name, got, tc.want)
		}
	}
}

func TestWithDefaults(t *testing.T) {
	want := Defaults()
	given := Config{Plugins: map[string]Plugin{}, Listeners: []Listener{}}
	for name, p := range want.Plugins {
		given.Plugins[name] = Plugin{ // and what says something where it is zero
			Module: p.Module, Watch: true, Config: p.Config, Image: true, PageOut: p.PageOut,
			GoJumps: true,
			Limits:  Limits{Instances: p.Limits.Instances},
		}
	}
	for _, ls := range want.Listeners {
		given.Listeners = append(given.Listeners, Listener{Endpoint: ls.Endpoint, Plugin: ls.Plugin})
	}
	given.Reactor.DrainTimeout = want.Reactor.DrainTimeout // 0 says that none is wanted
	if got := given.WithDefaults(); !reflect.DeepEqual(got, want) {
		t.Errorf("found  %+v\nwanted %+v", got, want)
	}
	if given.Plugins["echo"].Isolation != "" || given.Listeners[0].TLS.HandshakeTimeout != 0 {
		t.Error("what was given has changed")
	}
	loaded, err := Load(Options{
		Set: []string{"reactor.drain_timeout=0", "plugins.echo.config=null", "plugins.echo.watch=false"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := loaded.WithDefaults(); !reflect.DeepEqual(got, loaded) {
		t.Errorf("found  %+v\nwanted %+v", got, loaded)
	}
	if err := loaded.Validate(); err != nil {
		t.Error(err)
	}
}
