package reactor

import (
	"context"
	"io"
	"testing"
	"time"
)

// TestPortableSeesProgress: the system takes no more until much of its buffer is
// free, and a closed socket's reader is seen before that.
func TestPortableSeesProgress(t *testing.T) {
	s := newPortableSys().(*portableSys)
	fd, peer := portablePair(t, s)
	stuck(t, s, fd)
	c, err := s.stream(fd)
	if err != nil {
		t.Fatal(err)
	}
	moved := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.moved()
	}
	if err := s.Close(fd); err != nil { // gives it time, and notes what there is to send
		t.Fatal(err)
	}
	end := time.Now().Add(10 * time.Second)
	for buf := make([]byte, 64<<10); !moved(); {
		if time.Now().After(end) {
			t.Fatal("found no progress")
		}
		if _, err := io.ReadFull(peer, buf); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.finish(ctx)
}
