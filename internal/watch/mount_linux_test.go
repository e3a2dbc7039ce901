package watch

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// What is mounted over a folder on the way, or over the file, is noticed; and so is
// what lies there when it is unmounted. It needs the right to mount.
func TestMounts(t *testing.T) {
	for name, c := range map[string]struct{ over, with string }{
		"over a folder on the way": {"a", "n"}, "over the file": {"a/b/f", "n/b/f"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.write("a/b/f", "old1")
			b.write("n/b/f", "new")
			b.watch(map[string]string{"p": "a/b/f", "last": "last"})
			err := unix.Mount(b.path(c.with), b.path(c.over), "", unix.MS_BIND, "")
			if errors.Is(err, os.ErrPermission) {
				t.Skip("mounts need root")
			}
			b.must(err)
			mounted := true
			t.Cleanup(func() {
				if mounted {
					_ = unix.Unmount(b.path(c.over), unix.MNT_DETACH)
				}
			})
			b.want("p")
			if c.over == "a" { // a folder does not tell of a file that is mounted over one of its names
				b.write("a/b/f", "newer")
				b.want("p")
			}
			b.must(unix.Unmount(b.path(c.over), unix.MNT_DETACH))
			mounted = false
			b.want("p")
			b.write("a/b/f", "and again")
			b.want("p")
			b.quiet("last")
		})
	}
}
