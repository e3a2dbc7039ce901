// Package reactor owns sockets, transports and timers: event loops in the
// manner of Twisted's reactor, for protocols written in Go or hosted elsewhere.
//
// # Threads
//
// A Reactor runs N event loops, each on one goroutine, and one acceptor that
// takes connections for all of them. A loop owns its connections, its delayed
// calls and their protocols: it alone calls them, one at a time, so that they
// need no locks. Every method of Transport, DelayedCall and Loop is for that
// goroutine, but for those that say "any goroutine"; another goroutine gets onto
// a loop with Loop.CallFromThread. Nothing that runs on a loop may block.
//
// # Calls never nest
//
// A Protocol is never called from inside a call that it makes. What a call causes
// (output above a watermark, a loss, a closed writing side) is told after the
// callback that caused it has returned, and before the next event.
//
// # Bytes
//
// A slice given to DataReceived is valid until DataReceived returns; a slice
// given to Write may be used again when Write returns. Output that a callback
// writes in small pieces goes out in one system call when it returns; a piece of
// 4 KiB or more goes straight from the caller's memory if nothing is queued
// before it. What the socket does not take is queued: above the high water mark
// reading from that peer stops by itself, at the low one it goes on, and past
// the cap the connection is aborted.
//
// # Datagrams
//
// A DatagramSocket gives its protocol what has come in batches, as records in the
// protocol's own buffer, and sends batches straight from its memory. What the system does
// not take at once is dropped and counted: nothing of datagrams is ever queued here. A
// DatagramPort has a socket on each loop.
//
// # Where the I/O is
//
// All system calls and the clock are behind Sys. There are three: the system's
// own sockets with epoll, an emulation over package net that works everywhere
// (portable), and the network in memory of internal/memnet, which is how every
// promise is tested with faults at every call. What is above them is the same.
package reactor
