package reactor

import "context"

// NewPortableSys lets the suites of reactortest run on the portable Sys.
func NewPortableSys() Sys { return newPortableSys() }

// EndSys is what Reactor.Close does with a Sys.
func EndSys(ctx context.Context, s Sys) {
	if e, ok := s.(interface{ end(context.Context) }); ok {
		e.end(ctx)
	}
}
