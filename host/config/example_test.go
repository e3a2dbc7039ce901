package config_test

import (
	"fmt"

	"github.com/wirehost/wirehost/host/config"
)

// All that is wrong is said at once, each with where it stands.
func ExampleLoad() {
	_, err := config.Load(config.Options{Set: []string{"listeners.0.endpoint=tcp://127.0.0.1:http", "reactor.loops=many"}})
	fmt.Println(err)
	// Output:
	// --set: listeners.0.endpoint: found "tcp://127.0.0.1:http" (port "http"), wanted a number from 0 to 65535
	// --set: reactor.loops: found "many", wanted a whole number
}
