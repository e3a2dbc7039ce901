// Command memcache is a cache that speaks memcached's text protocol
// (https://github.com/memcached/memcached/blob/master/doc/protocol.txt). Its data
// are the Factory's, shared by all connections.
package main

import (
	"time"

	"github.com/wirehost/wirehost/examples/internal/bounded"
	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// item is a value. It is never changed, but replaced.
type item struct {
	value   []byte
	flags   uint32
	expires int64  // Unix seconds; 0 is never
	cas     uint64 // another one after each change
}

// Size is in bytes.
func (i item) Size() int { return len(i.value) }

// End is when it expires.
func (i item) End() int64 { return i.expires }

// stats are counted since the start.
type stats struct {
	Connections, Total, Get, Set, Touch, Flush, Hits, Misses, Stored uint64
}

// factory is the server: what all connections share.
type factory struct {
	bounded.Config
	items    bounded.Map[item]
	commands map[string]command
	pending  int    // bytes reserved for values that have not arrived whole
	serial   uint64 // the last item's cas
	flushAt  int64  // Unix seconds when all items go, of a flush_all with a delay; 0 is never
	started  int64  // Unix seconds
	stats    stats
	now      func() time.Time // the wall clock
}

func newFactory() *factory {
	f := &factory{commands: commands(), now: time.Now}
	f.items.Now = f.seconds
	return f
}

func (f *factory) seconds() int64 { return f.now().Unix() }

// StartFactory reads the configuration.
func (f *factory) StartFactory(r *wirehost.Reactor) error {
	err := f.Config.Read(r)
	f.items.Limit, f.started = f.MaxMemory, f.seconds()
	return err
}

func (f *factory) BuildProtocol(t *wirehost.Transport) wirehost.Protocol {
	c := &conn{factory: f}
	c.Delimiter, c.MaxLength = []byte("\n"), longestLine
	c.pace.Init(c, t)
	return c
}

func (f *factory) LogPrefix() string { return "memcache" }

// due empties the cache where a flush_all with a delay said so. Every command
// begins with it.
func (f *factory) due() {
	if f.flushAt != 0 && f.flushAt <= f.seconds() {
		f.flushAt = 0
		f.items.Clear()
	}
}

// put keeps an item under the next serial number.
func (f *factory) put(key []byte, i item) {
	f.serial++
	i.cas = f.serial
	f.items.Put(key, i)
}

func init() { wirehost.Register(newFactory()) }

func main() {}
