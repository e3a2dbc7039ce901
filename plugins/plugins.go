// Package plugins holds the plugins that are built in, as the .wasm files that
// lie beside their sources. A test proves that they are what the sources build.
package plugins

import _ "embed"

// go generate ./plugins builds both again; without -ldflags=-s, so that the
// trace of a trap has function names (they are 2 % of the file).
//
//go:generate -command build env GOOS=wasip1 GOARCH=wasm GOFLAGS= go build -buildmode=c-shared -trimpath -buildvcs=false
//go:generate build -o echo/echo.wasm ./echo
//go:generate build -o linereceiver/linereceiver.wasm ./linereceiver

//go:embed echo/echo.wasm
var echo []byte

//go:embed linereceiver/linereceiver.wasm
var linereceiver []byte

// Names lists the built-in plugins, in alphabetical order.
func Names() []string { return []string{"echo", "linereceiver"} }

// Builtin is the module behind builtin:NAME. The bytes are shared: they must not
// be changed.
func Builtin(name string) ([]byte, bool) {
	switch name {
	case "echo":
		return echo, true
	case "linereceiver":
		return linereceiver, true
	}
	return nil, false
}
