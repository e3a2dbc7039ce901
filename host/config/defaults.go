package config

import (
	"reflect"
	"slices"
	"time"
)

// Defaults is the configuration where nothing is configured: the two built-in
// plugins on loopback.
func Defaults() Config {
	c := base()
	echo, line := DefaultPlugin(), DefaultPlugin()
	echo.Module, line.Module = "builtin:echo", "builtin:linereceiver"
	c.Plugins = map[string]Plugin{"echo": echo, "linereceiver": line}
	first, second := DefaultListener(), DefaultListener()
	first.Endpoint, first.Plugin = "tcp://127.0.0.1:7007", "echo"
	second.Endpoint, second.Plugin = "tcp://127.0.0.1:7008", "linereceiver"
	c.Listeners = []Listener{first, second}
	return c
}

// base is Defaults without plugins and listeners.
func base() Config {
	return Config{
		Log: Log{Level: "info", Format: "text"},
		Reactor: Reactor{
			Backend:       "auto",
			DrainTimeout:  30 * time.Second,
			CloseTimeout:  30 * time.Second,
			WriteTimeout:  60 * time.Second,
			ClosedTimeout: 60 * time.Second,
			WriteBuffer:   WriteBuffer{High: 64 << 10, Low: 32 << 10, Max: 16 << 20},
		},
		Cache: Cache{Size: DefaultCacheSize},
	}
}

// DefaultPlugin is what holds for a plugin that says nothing of it. It has no
// module.
func DefaultPlugin() Plugin {
	return Plugin{
		Isolation: IsolationLoop,
		Reload:    ReloadMigrate,
		Watch:     true,
		Config:    map[string]any{},
		Drain:     10 * time.Minute,
		MoveTime:  2 * time.Second,
		Limits: Limits{
			Memory:         64 << 20,
			Stack:          1 << 20,
			Table:          100_000,
			CallbackTime:   100 * time.Millisecond,
			Instances:      1024,
			Timers:         1024,
			ConnectionsOut: 64,
			State:          16 << 20,
			LogBytes:       64 << 10,
			Module:         64 << 20,
			CompileTime:    60 * time.Second,
			CompileMemory:  1 << 30,
		},
	}
}

// DefaultListener is what holds for a listener that says nothing of it. It has
// no endpoint and no plugin.
func DefaultListener() Listener {
	return Listener{TLS: TLS{HandshakeTimeout: 10 * time.Second}}
}

// WithDefaults is a copy of c in which a zero value stands for the default where
// the setting may not be zero: an empty isolation is "loop", a limit of 0 is the
// default's. Where zero says something (loops, idle_timeout, drain_timeout) and in
// what is true, false or the guest's own, nothing changes. For a program that puts
// a Config together; Load does not need it.
func (c Config) WithDefaults() Config {
	rules := rules()
	fill(&c, base(), "", rules)
	plugins := make(map[string]Plugin, len(c.Plugins))
	for name, p := range c.Plugins {
		fill(&p, DefaultPlugin(), "plugins.*", rules)
		plugins[name] = p
	}
	c.Plugins, c.Listeners = plugins, slices.Clone(c.Listeners)
	for i := range c.Listeners {
		fill(&c.Listeners[i], DefaultListener(), "listeners.*", rules)
	}
	return c
}

// fill gives what is zero in *to, against the rule for it, the value in def.
func fill[T any](to *T, def T, pattern string, rules map[string]rule) {
	var values func(to, def reflect.Value, pattern string)
	values = func(to, def reflect.Value, pattern string) {
		if to.Kind() == reflect.Struct {
			for i, key := range keysOf(to.Type()) {
				values(to.Field(i), def.Field(i), join(pattern, key))
			}
		} else if r := rules[pattern]; r != nil && to.IsZero() && r(to) != nil {
			to.Set(def)
		}
	}
	values(reflect.ValueOf(to).Elem(), reflect.ValueOf(def), pattern)
}
