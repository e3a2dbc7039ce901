// Package guest runs one WebAssembly module, and gives it what the contract of
// package abi says that it may ask for.
//
// A [Loader] compiles and loads a module: a [Program]. That and its settings are a
// [Guest], of which instances are made. An [Instance] is started on any goroutine and
// committed to a [Place], which is an event loop; from then on all that happens to it
// happens there, between two of its callbacks, so there are no locks. A connection's
// socket side is package reactor's; its guest side is here, and can move to another
// instance while the socket stays as it is ([Move]).
//
// What a guest is called, whose it is, and when it is replaced by another, is its
// [Owner]'s matter. An [Account] is kept for guests that follow one another under one
// name: their log, their handles, and what is counted of them.
package guest
