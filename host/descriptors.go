package host

// descriptors are the process's. What is none of the reactor's sockets is not counted: the part that an
// overload leaves is for that.
func (h *Host) descriptors() use {
	return use{useOfDescriptors, uint64(h.reactor.Sockets()), h.mayOpen(), 0}
}

// roomForGuests is how many sockets there are, and how many descriptors guests may take with them all:
// three quarters, so that who connects, administration and a change still find some. most 0 = any number.
// Any goroutine.
func (h *Host) roomForGuests() (found, most uint64) {
	u := h.descriptors()
	return u.used, u.limit - u.limit/4
}
