package guest

import "iter"

// connections are those of an instance, by handle. One alone takes no map: an instance
// may be for a single one. The zero value has none.
type connections struct {
	one  *conn
	many map[int32]*conn // nil until there is a second one; then it has all of them
}

// get is the connection of a handle, or nil.
func (l *connections) get(handle int32) *conn {
	if l.many != nil {
		return l.many[handle]
	}
	if l.one != nil && l.one.handle == handle {
		return l.one
	}
	return nil
}

func (l *connections) add(c *conn) {
	switch {
	case l.many != nil:
		l.many[c.handle] = c
	case l.one == nil:
		l.one = c
	default:
		l.many = map[int32]*conn{l.one.handle: l.one, c.handle: c}
		l.one = nil
	}
}

func (l *connections) remove(handle int32) {
	if l.many != nil {
		delete(l.many, handle)
	} else if l.one != nil && l.one.handle == handle {
		l.one = nil
	}
}

func (l *connections) len() int {
	if l.many != nil {
		return len(l.many)
	}
	if l.one != nil {
		return 1
	}
	return 0
}

// all are the connections, in no order. Some may be removed meanwhile.
func (l *connections) all() iter.Seq[*conn] {
	return func(yield func(*conn) bool) {
		if l.many == nil {
			if l.one != nil {
				yield(l.one)
			}
			return
		}
		for _, c := range l.many {
			if !yield(c) {
				return
			}
		}
	}
}
