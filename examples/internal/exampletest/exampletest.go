// Package exampletest has what the tests of several examples do.
package exampletest

import (
	"strings"
	"testing"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// Clock is a wall clock that is turned by hand.
type Clock struct{ At time.Time }

// Now is time.Now of this clock.
func (c *Clock) Now() time.Time { return c.At }

// Cut feeds an input whole, and cut in two at an offset, each time to a new server:
// it must make no difference. An offset behind the end is the end.
func Cut(t *testing.T, start func() (*sdktest.Server, error), input []byte, at int) {
	t.Helper()
	whole := sdktest.Feed(t, start, input)
	at = min(at, len(input))
	if parts := sdktest.Feed(t, start, input[:at], input[at:]); parts != whole {
		t.Fatalf("cut at %d: found %s\nwanted %s", at, parts, whole)
	}
}

// RestoreRefused holds a state to be refused, with an error that has want in it.
// name says what is wrong with the state.
func RestoreRefused(t *testing.T, name string, of wirehost.StateSaver, version int32, state, want string) {
	t.Helper()
	if err := of.RestoreState(version, []byte(state)); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: found error %v, wanted %q", name, err, want)
	}
}

// ConfigRefused holds configurations to be refused by new factories, each with a
// part of the error.
func ConfigRefused(t *testing.T, factory func() wirehost.Factory, configs map[string]string) {
	t.Helper()
	for config, want := range configs {
		_, err := sdktest.Start(factory(), sdktest.Options{Config: config})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found error %v, wanted %q", config, err, want)
		}
	}
}

// Saved is a Factory whose connections have saved whatever a test says, in the
// layout of a number.
type Saved struct {
	State   []byte
	Version int32
}

// BuildProtocol makes a protocol that drops what it gets.
func (f *Saved) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return &savedConn{factory: f} }

// StateVersion is Version.
func (f *Saved) StateVersion() int32 { return f.Version }

type savedConn struct {
	wirehost.Base
	factory *Saved
}

func (p *savedConn) SaveState() ([]byte, bool)        { return p.factory.State, true }
func (p *savedConn) RestoreState(int32, []byte) error { return nil }
