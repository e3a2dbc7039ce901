package guest

// stream is a trace whose lines go to who asked for it, in place of the log.
type stream struct {
	to   func(line []byte) // called on event loops: it must not block
	over chan struct{}     // closed when another trace has taken its place
}

// StreamTrace begins a trace as SetTrace does, whose lines go to to. It ends with end, or when
// another takes its place, which over tells.
func (a *Account) StreamTrace(handle int32, to func(line []byte)) (over <-chan struct{}, end func()) {
	s := &stream{to: to, over: make(chan struct{})}
	a.rewatch(func(w *watch) { w.traced, w.conn, w.stream = true, handle, s })
	return s.over, func() {
		a.rewatch(func(w *watch) {
			if w.stream == s {
				w.traced, w.conn, w.stream = false, 0, nil
			}
		})
	}
}
