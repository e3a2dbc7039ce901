// Package memnet is a network in memory with a clock that is turned by hand: a
// reactor.Sys whose connections end in Peers. Tests run reactors and whole
// servers over it, and so does the command that plays transcripts to a guest;
// nothing of it is a socket of the system's, and no time passes by itself.
package memnet
