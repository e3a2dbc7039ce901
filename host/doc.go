// Package host runs network protocols that are WebAssembly modules behind the
// listeners of package reactor, and replaces them while their connections stay open.
//
// A [Host] has plugins: names in its configuration. A plugin has versions: a module and
// its configuration, compiled. A version has a slot on each event loop where it runs, and
// there the instances of package guest. Everything that an instance, a connection or a
// timer of a guest does happens on the event loop that owns its connection, so there
// are no locks on the data path. What a Host offers may be called from any goroutine
// but the loops'.
//
// # A reload
//
// There is one way from a file to a version that serves, at the start and at each change.
// Every step can fail but the last, has one owner, and undoes what it did where a later
// one fails:
//
//	bytes      sources.readModule      adds it up; nobody keeps or decodes it
//	module     guest.Loader.Load       the compiler decodes, checks and compiles it, once
//	program    newVersion              with its configuration: a version
//	instances  replacement.prepare     started off the loops; rehearsal; canary
//	active     replacement.commit      loop by loop, between two callbacks: connections move
//	           replacement.abandon     in place of commit: what ran runs on
//
// # A version's life
//
//	           newVersion          compiled
//	(none) ───────────▶ loading ───────────▶ validated ─────────────┐ abandon:
//	                       │ refused             │ commit            │ freed, or drained
//	                       ▼                     ▼                   │ where its canary
//	                     (none)    ┌────────▶ active                 │ had connections
//	                               │             │ another commits,  │
//	                      goBack   │             │ or unload         │
//	                      and      │             ▼                   │
//	                      commit   ├───────── draining               │
//	                               │             │ its last instance │
//	                               │             │ has ended         │
//	                               │             ▼                   │
//	                               └───────── standby                │
//	                                             │ over keep_versions│
//	                                             │ or unloaded       │
//	                                             ▼                   │
//	                                          retired ◀──────────────┘
//
// The connections of a draining version whose drain time is over are closed, and so are
// the oldest one's when a fifth has connections. A version is freed when no instance of it
// is left, and keep_versions have been replaced since.
package host
