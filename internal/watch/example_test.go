package watch_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/wirehost/wirehost/internal/watch"
)

// A file that is replaced.
func Example() {
	dir, err := os.MkdirTemp("", "watch")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "m.wasm")
	changed := make(chan string)
	w, err := watch.New(watch.Options{Changed: func(name string) bool { changed <- name; return true }})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close()
	if err := w.Set(map[string]watch.File{"echo": {Path: file}}); err != nil {
		fmt.Println(err)
		return
	}
	if err := os.WriteFile(file, []byte("new"), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-changed, "has changed")
	// Output:
	// echo has changed
}
