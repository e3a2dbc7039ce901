package assets

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Ways tells what decides what a folder has: the folders in it with itself, by the paths
// that they really have, and the symbolic links in them. Who watches those notices every
// change. What can't be read is not told of. An error says that they are more than most.
func Ways(dir string, most int) (folders, links []string, err error) {
	w := ways{most: most, known: map[string]bool{}}
	err = w.enter(dir)
	return w.folders, w.links, err
}

type ways struct {
	most           int
	known          map[string]bool // folders
	folders, links []string
}

func (w *ways) enter(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil || w.known[dir] {
		return nil // it is not there now
	}
	w.known[dir] = true
	w.folders = append(w.folders, dir)
	list, _ := os.ReadDir(dir) // as far as it can be read
	for _, e := range list {
		if LeftOut(e.Name()) {
			continue
		}
		at, isDir := filepath.Join(dir, e.Name()), e.IsDir()
		if e.Type()&fs.ModeSymlink != 0 {
			w.links = append(w.links, at)
			info, err := os.Stat(at)
			isDir = err == nil && info.IsDir()
		}
		if len(w.folders)+len(w.links) > w.most {
			return fmt.Errorf("%s: found more than %d folders and links, wanted fewer", dir, w.most)
		}
		if isDir {
			if err := w.enter(at); err != nil {
				return err
			}
		}
	}
	return nil
}
