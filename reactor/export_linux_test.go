package reactor

// NewLinuxSys lets the suites of reactortest run on the system's own sockets.
func NewLinuxSys() (Sys, error) { return newLinuxSys() }
