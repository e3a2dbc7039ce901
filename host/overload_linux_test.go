package host

import (
	"io"
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

// TestResidentOf: pages of images count once, though the system counts them for each
// instance.
func TestResidentOf(t *testing.T) {
	const status = "Name:\twirehost\nVmRSS:\t  600 kB\nRssAnon:\t  80 kB\nRssFile:\t  20 kB\nRssShmem:\t  500 kB\n"
	for _, c := range []struct {
		status string
		images uint64
		want   uint64
	}{
		{status, 0, 100 << 10}, {status, 3 << 10, 103 << 10}, {status, 1 << 20, 600 << 10}, {"", 1, 0},
		{"RssAnon:\tmuch kB\n", 1, 0},
	} {
		if got := residentOf([]byte(c.status), c.images); got != c.want {
			t.Errorf("with images of %d: found %d bytes of %q, wanted %d", c.images, got, c.status, c.want)
		}
	}
	if n := resident(0); n < 1<<20 {
		t.Errorf("found %d bytes, wanted some of this process", n)
	}
}

// TestSharedImages: what instances share is told once, however many there are.
func TestSharedImages(t *testing.T) {
	s := serve(t, configuration(config.Plugin{Module: "testdata/keeps.wasm", Isolation: config.IsolationConnection}))
	first := s.sharedImages()
	for range 3 {
		c := dial(t, s.addrs[0])
		send(t, c, "s")
		if _, err := io.ReadFull(c, make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.sharedImages(); first < 256<<10 || first > 1<<20 || n != first {
		t.Errorf("found images of %d bytes, then %d, wanted one of five pages", first, n)
	}
}
