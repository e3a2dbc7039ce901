package config_test

import (
	"fmt"

	"github.com/wirehost/wirehost/host/config"
)

// All that is wrong is said at once, each with where it stands.
func ExampleLoad() {
	_, err := config.Load(config.Options{
		Set: []string{"listeners.0.endpoint=tcp://127.0.0.1:http", "reactor.loops=many"},
	})
	fmt.Println(err)
	// Output:
	// --set: listeners.0.endpoint: found "tcp://127.0.0.1:http" (port "http"), wanted a number from 0 to 65535
	// --set: reactor.loops: found "many", wanted a whole number
}

// A program that needs no file says what differs from the defaults.
func ExampleConfig_Validate() {
	c := config.Config{
		Plugins: map[string]config.Plugin{
			"echo": {Module: "echo.wasm", Isolation: config.IsolationShared, Limits: config.Limits{Memory: 1 << 10}},
		},
		Listeners: []config.Listener{{Endpoint: "tcp://127.0.0.1:7007", Plugin: "ecko"}},
	}.WithDefaults()
	fmt.Println("reload:", c.Plugins["echo"].Reload)
	fmt.Println(c.Validate())
	// Output:
	// reload: migrate
	// plugins.echo.limits.memory: found 1KiB, wanted 64KiB to 4GiB
	// listeners.0.plugin: found "ecko", wanted the name of one under plugins (echo); did you mean "echo"?
}
