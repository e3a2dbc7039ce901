package watch

import (
	"os"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/bounded"
	"github.com/wirehost/wirehost/internal/boundedtest"
)

// stick lets reads of the file name wait, until free is called for those of one that
// is opened later.
func (b *bench) stick(name string) (begun <-chan struct{}, free func()) {
	path := b.path(name)
	return boundedtest.Stick(b.T, &b.reader, bounded.OpenRegular, func(p string) bool { return p == path })
}

// await turns the clock until begun gets something.
func (b *bench) await(begun <-chan struct{}) {
	b.Helper()
	late := time.After(patience)
	for {
		select {
		case <-begun:
			return
		case <-b.clock.armed:
			b.clock.turn(DefaultQuiet / 2)
		case <-late:
			b.Fatal("the file is not read")
		}
	}
}

// A file whose read does not return keeps neither other files' changes from being
// noticed, nor its own when it is replaced, nor the end from coming.
func TestStuckFile(t *testing.T) {
	b := newBench(t)
	b.write("f", "old1")
	b.write("other", "old1")
	begun, free := b.stick("f")
	b.must(b.Set(map[string]File{"p": {Path: b.path("f"), SHA256: "known"}, "other": {Path: b.path("other")}}))
	b.await(begun)
	b.write("other", "new")
	b.want("other")
	free()
	b.write("t", "new")
	b.must(os.Rename(b.path("t"), b.path("f")))
	b.want("p")

	begun, _ = b.stick("f")
	b.write("f", "newer")
	b.await(begun)
	b.must(b.Close())
}

// A file that can't be read when it is added keeps nobody for ever.
func TestStuckWhenAdded(t *testing.T) {
	b := newBench(t)
	b.reader.Quiet = time.Millisecond
	b.write("f", "old1")
	_, free := b.stick("f")
	b.watch(map[string]string{"p": "f"})
	free()
	b.write("f", "old1") // it was not known
	b.want("p")
}

// A file system that does not answer at all keeps neither Set nor Close.
func TestSlow(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{}, 1)
	w, err := New(Options{Changed: func(string) bool { return true },
		AfterFunc: func(time.Duration, func()) func() bool {
			entered <- struct{}{}
			<-release
			return func() bool { return true }
		}})
	if err != nil {
		t.Fatal(err)
	}
	w.slow = time.Millisecond
	file := map[string]File{"p": {Path: t.TempDir() + "/f", SHA256: "known"}}
	for taken := false; !taken; { // the watcher may take longer than slow to begin
		if err := w.Set(file); err != ErrSlow {
			t.Fatalf("found %v, wanted ErrSlow", err)
		}
		select {
		case <-entered:
			taken = true
		default:
		}
	}
	if err := w.Set(file); err != ErrSlow {
		t.Errorf("the next one: found %v, wanted ErrSlow", err)
	}
	if err := w.Close(); err != ErrSlow {
		t.Errorf("at the end: found %v, wanted ErrSlow", err)
	}
	close(release)
	w.slow = patience
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
