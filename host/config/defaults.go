package config

import "time"

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
