// Package simulator drives the real event loops over the in-memory network, with
// faults at every system call, and holds all that happens against what every
// connection is promised. A seed decides everything, so that a run which failed
// fails again. Only tests import it.
package simulator
