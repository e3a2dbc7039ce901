// Command resp is a key-value server that speaks Redis's protocol, RESP 2
// (https://redis.io/docs/latest/develop/reference/protocol-spec/). Its data are
// the Factory's, shared by all connections.
package main

import (
	"time"

	"github.com/wirehost/wirehost/examples/internal/bounded"
	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// entry is a value, and when it expires.
type entry struct {
	value   []byte
	expires int64 // Unix milliseconds; 0 is never
}

// Size is in bytes.
func (e entry) Size() int { return len(e.value) }

// End is when it expires.
func (e entry) End() int64 { return e.expires }

// factory is the server: what all connections share.
type factory struct {
	bounded.Config
	db       bounded.Map[entry]
	commands map[string]command
	pending  int              // bytes reserved for requests that have not arrived whole
	now      func() time.Time // the wall clock
}

func newFactory() *factory {
	f := &factory{commands: commands(), now: time.Now}
	f.db.Now = func() int64 { return f.now().UnixMilli() }
	return f
}

// StartFactory reads the configuration.
func (f *factory) StartFactory(r *wirehost.Reactor) error {
	err := f.Config.Read(r)
	f.db.Limit = f.MaxMemory
	return err
}

func (f *factory) BuildProtocol(t *wirehost.Transport) wirehost.Protocol {
	c := &conn{factory: f}
	c.Delimiter, c.MaxLength = []byte("\n"), longestLine
	c.pace.Init(c, t)
	return c
}

func (f *factory) LogPrefix() string { return "resp" }

func init() { wirehost.Register(newFactory()) }

func main() {}
