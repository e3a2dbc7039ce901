package config

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// Defaults is the configuration where nothing is configured: the two built-in
// plugins on loopback.
func Defaults() Config {
	c := base()
	newDocument("").decode(builtin(), &c, nil, "", decoder{whole: true})
	return c
}

// builtin is what runs where no file says what to run.
func builtin() map[string]any {
	return map[string]any{
		"plugins": map[string]any{
			"echo":         map[string]any{"module": "builtin:echo"},
			"linereceiver": map[string]any{"module": "builtin:linereceiver"},
		},
		"listeners": listOf(
			map[string]any{"endpoint": "tcp://127.0.0.1:7007", "plugin": "echo"},
			map[string]any{"endpoint": "tcp://127.0.0.1:7008", "plugin": "linereceiver"},
		),
	}
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
			TLSRecords:    "auto",
			WriteBuffer:   WriteBuffer{High: 64 << 10, Low: 32 << 10, Max: 16 << 20},
		},
		AccessLog: AccessLog{Format: "text"},
		OTLP:      OTLP{Sample: "1%"},
		Cache:     Cache{Size: 1 << 30}, // room for some forty Go guests
	}
}

// DefaultPlugin is what holds for a plugin that says nothing of it. It has no
// module.
func DefaultPlugin() Plugin {
	return Plugin{
		Pull:      PullMissing,
		Isolation: IsolationLoop,
		Reload:    ReloadMigrate,
		Watch:     true,
		Config:    map[string]any{},
		Drain:     10 * time.Minute,
		MoveTime:  2 * time.Second,
		Keep:      3,
		Image:     true,
		PageOut:   time.Second,
		GoJumps:   true,
		Limits: Limits{
			Memory:         64 << 20,
			Stack:          1 << 20,
			Table:          100_000,
			CallbackTime:   100 * time.Millisecond,
			Instances:      1024, // with IsolationConnection a file that says nothing means 0
			Timers:         1024,
			ConnectionsOut: 64,
			Links:          16384,
			Sockets:        64,
			Listeners:      64,
			State:          16 << 20,
			LogBytes:       64 << 10,
			Metrics:        100,
			Module:         64 << 20,
			Assets:         64 << 20,
			AssetFiles:     10_000,
			CompileTime:    60 * time.Second,
			CompileMemory:  1 << 30,
		},
		Allow: Allow{TLS: defaultTLS()},
	}
}

// defaultListener is what holds for a listener that says nothing of it. It has
// no endpoint and no plugin.
func defaultListener() Listener {
	return Listener{
		PerPeer:      PerPeer{IPv4Prefix: 32, IPv6Prefix: 64},
		RouteTimeout: 5 * time.Second,
		Mode:         "0660",
		TLS:          defaultTLS(),
	}
}

func defaultTLS() TLS { return TLS{MinVersion: "1.2", HandshakeTimeout: 10 * time.Second} }

// WithDefaults is a copy of c in which a zero value stands for the default where
// the setting may not be zero: an empty isolation is "loop", a limit of 0 is the
// default's. Where zero says something (loops, idle_timeout, limits.instances, page_out)
// and in what is true, false or the guest's own, nothing changes: DefaultPlugin has
// what is good there. For a program that puts a Config together; Load does not need it.
func (c Config) WithDefaults() Config {
	rules := rules()
	all := walk(reflect.ValueOf(c), base(), nil, "", func(x, def reflect.Value, _ path, pattern string) reflect.Value {
		if r := rules[pattern]; r != nil && x.IsZero() && r(x) != nil {
			return def
		}
		return x
	})
	return all.Interface().(Config)
}

// visitor is called with a value that holds no others, its default, and its name.
type visitor func(x, def reflect.Value, p path, pattern string) reflect.Value

// walk is a copy of x with what visit makes of the values that hold no others. def
// is a value of x's type that has the defaults.
func walk(x reflect.Value, def any, p path, pattern string, visit visitor) reflect.Value {
	out := reflect.New(x.Type()).Elem()
	switch x.Kind() {
	case reflect.Struct:
		for i, key := range keysOf(x.Type()) {
			below := reflect.ValueOf(def).Field(i).Interface()
			out.Field(i).Set(walk(x.Field(i), below, p.with(key), join(pattern, key), visit))
		}
	case reflect.Map:
		out.Set(reflect.MakeMap(x.Type()))
		for _, key := range slices.SortedFunc(slices.Values(x.MapKeys()), byName) {
			below := fresh(x.Type().Elem()).Interface()
			out.SetMapIndex(key, walk(x.MapIndex(key), below, p.with(key.String()), join(pattern, "*"), visit))
		}
	case reflect.Slice:
		for i := range x.Len() {
			below := fresh(x.Type().Elem()).Interface()
			out = reflect.Append(out, walk(x.Index(i), below, p.with(strconv.Itoa(i)), join(pattern, "*"), visit))
		}
	default:
		return visit(x, reflect.ValueOf(def), p, pattern)
	}
	return out
}

func byName(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) }

// fresh is a value of type t, with the defaults that the type has.
func fresh(t reflect.Type) reflect.Value {
	x := reflect.New(t).Elem()
	switch v := x.Addr().Interface().(type) {
	case *Plugin:
		*v = DefaultPlugin()
	case *Listener:
		*v = defaultListener()
	}
	return x
}
