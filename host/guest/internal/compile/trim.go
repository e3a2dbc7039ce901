package compile

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// newPrefix begins the name of an entry that is being made.
	newPrefix = ".new-"
	// abandoned is the age from which such a one is nobody's any more.
	abandoned = 24 * time.Hour
	// oldPrefix begins the names that wazero gave when the cache was its own.
	oldPrefix = "wazero-"
)

// kept is something that lies in the cache.
type kept struct {
	path string
	size int64
	used time.Time
	held bool
}

// Trim removes the entries that were used least recently until the cache has at
// most the size that it may have, and what was left behind. Entries in use by
// this process stay.
func (c *Compiler) Trim() {
	if c.o.Dir == "" {
		return
	}
	if err := c.trim(); err != nil {
		c.o.Logger.Warn("the cache of compiled modules can't be kept to its size", "dir", c.o.Dir, "err", err)
	}
}

func (c *Compiler) trim() error {
	entries, err := os.ReadDir(c.o.Dir)
	if err != nil {
		return err
	}
	var list []kept
	total := int64(0)
	for _, e := range entries {
		k, ours := c.look(e)
		switch {
		case !ours:
		case strings.HasPrefix(e.Name(), oldPrefix), strings.HasPrefix(e.Name(), newPrefix) &&
			time.Since(k.used) > abandoned:
			if err := os.RemoveAll(k.path); err != nil {
				return err
			}
		default:
			list = append(list, k)
			total += k.size
		}
	}
	slices.SortFunc(list, func(a, b kept) int { return a.used.Compare(b.used) })
	for _, k := range list {
		if c.o.Size <= 0 || total <= c.o.Size {
			break
		}
		if k.held {
			continue
		}
		if err := os.RemoveAll(k.path); err != nil {
			return err
		}
		total -= k.size
	}
	return nil
}

// look weighs something in the cache. What is not named as ours is not ours.
func (c *Compiler) look(e fs.DirEntry) (k kept, ours bool) {
	name := e.Name()
	isNew := strings.HasPrefix(name, newPrefix)
	isKey := len(name) == 64 && strings.Trim(name, "0123456789abcdef") == ""
	if !e.IsDir() || !isNew && !isKey && !strings.HasPrefix(name, oldPrefix) {
		return k, false
	}
	k.path = filepath.Join(c.o.Dir, name)
	if info, err := e.Info(); err == nil {
		k.used = info.ModTime()
	}
	c.mu.Lock()
	k.held = c.used[name] > 0 || isNew
	c.mu.Unlock()
	// What can't be read now is gone, or weighs nothing.
	_ = filepath.WalkDir(k.path, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		info, err := e.Info()
		if err != nil || e.IsDir() {
			return nil
		}
		k.size += info.Size()
		if info.ModTime().After(k.used) {
			k.used = info.ModTime()
		}
		return nil
	})
	return k, true
}
