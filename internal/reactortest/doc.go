// Package reactortest holds two suites: what a connection promises (Suite),
// for any transport and any protocol that obeys a script, and what the event
// loops rely on in a system's sockets (SysSuite), for implementations of
// reactor.Sys. Only tests import it.
package reactortest
