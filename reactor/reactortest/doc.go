// Package reactortest holds what the reactor and its users are tested with: an
// in-memory Sys with a hand-turned clock, a seeded simulator that drives the
// real event loops over it with faults at every system call, a suite for
// implementations of Sys, and a suite of what a connection promises, which any
// transport and any protocol that obeys a script can run.
//
// It is for tests; production code never imports it.
package reactortest
