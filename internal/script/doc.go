// Package script is the little language in which the transport suite tells the
// protocols under test what to do, and they tell it what they are told. There is
// one interpreter; a native protocol of package reactortest and a guest of
// package host's tests lend it their transports. It imports the standard library
// alone, since the guest is compiled to WebAssembly.
//
// The first connection that is made is the control connection. It carries lines.
// From the test:
//
//	on EVENT COMMAND   from now on, new connections do COMMAND at each EVENT;
//	                   EVENT is one of those below, without its arguments
//	clear              forgets those
//	half on|off        whether new connections go on after the peer's FIN (off:
//	                   as a protocol without readConnectionLost)
//	hold on|off        whether new connections have to wait for their protocol;
//	                   each is told of with "N held" (native protocols only)
//	ping WORD          is answered with "pong WORD"
//	N COMMAND          connection N does COMMAND now; the others count from 1
//
// The commands:
//
//	write N            N bytes of Pattern, from where the last write ended, in
//	                   calls of at most 64 KiB; tells "wrote QUEUED" of the last,
//	                   or "wrote error"
//	sequence A B ...   the same with one writeSequence of pieces of A, B, ... bytes
//	echo               (at data) writes what came
//	lose, losewrite, abort, pause, resume, unregister
//	push               registers a push producer; tells "registered" or "busy"
//	pull N             registers a pull producer that writes N pieces of 1000 bytes
//	                   and then unregisters
//	timeout MS, later MS
//	tlsclient NAME     begins TLS as its client; tells "tlsclient begun" or
//	                   "tlsclient error"
//	hand OFFSET N      hands the connection over to a new one of the script, with N
//	                   bytes of Pattern, from OFFSET on; tells "hand error" where
//	                   that can't be
//	state              tells "state BITS"
//	panic              a native protocol panics, a guest traps
//	build, refuse      (of one that is held) its protocol is there, or is refused
//
// To the test, each after the connection's number:
//
//	made, data LEN TOTAL CRC32, readlost, writelost, lost REASON, handshake,
//	pause, resume, stop, timer; of one that is held, gone
//
// with " nested" behind them if they came inside a call to the transport.
package script
