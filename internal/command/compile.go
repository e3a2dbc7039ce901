package command

import (
	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/plugins"
)

// options are what each command's host is given.
func (a *app) options() host.Options {
	return host.Options{Builtin: plugins.Builtin, Compiler: a.compiler}
}
