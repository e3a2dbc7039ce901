//go:build !linux

package watch

// watchMounts does nothing here: fsnotify is all that there is.
func (w *Watcher) watchMounts() {}
