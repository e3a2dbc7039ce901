package config

// Isolation says which connections of a plugin share an instance of its module.
type Isolation string

// The isolations, as configuration has them.
const (
	IsolationConnection Isolation = "connection" // an instance for each connection, which ends with it
	IsolationLoop       Isolation = "loop"       // an instance on each event loop, for that loop's connections
	IsolationShared     Isolation = "shared"     // one instance for all connections, all on one event loop
)

// ReloadPolicy says what becomes of a plugin's connections when another version
// of it takes its place.
type ReloadPolicy string

// The reload policies, as configuration has them.
const (
	ReloadMigrate ReloadPolicy = "migrate" // they move, with what saveState and restoreState hand over
	ReloadDrain   ReloadPolicy = "drain"   // they stay with the previous version until they end
	ReloadDrop    ReloadPolicy = "drop"    // they are closed
)

// PullPolicy says when a module of https:// or oci:// is fetched, where the cache has
// what came from there before.
type PullPolicy string

// The pull policies, as configuration has them. A reference that names a digest gives
// the same bytes for ever: it is fetched once, with any of them but PullNever.
const (
	PullMissing PullPolicy = "missing" // where the cache has nothing of it
	PullAlways  PullPolicy = "always"  // at each start, reload and plugin reload
	PullNever   PullPolicy = "never"   // not at all: what the cache has, or an error
)
