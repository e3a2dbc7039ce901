package command

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/operate"
	"github.com/wirehost/wirehost/internal/lines"
)

func newValidate(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "Check the configuration and every plugin it names",
		Long: "Check the configuration, every plugin and every file that it names, and start nothing.\n" +
			"Prints ok, or every fault on a line of its own.",
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.load(cmd.Context())
			if err != nil {
				return err
			}
			cfg.Log.Level = "warn" // progress is no answer; a cache that can't be used is one
			o := a.options()
			o.Logger = a.logger(cfg.Log)
			stop := a.waiting("compiling")
			err = operate.Validate(cmd.Context(), cfg, o)
			if stop(); err != nil {
				return a.located(err)
			}
			_, err = fmt.Fprintln(a.stdout, "ok")
			return err
		},
	}
}

// located puts in front of what is wrong with a listener where the listener was said, such as
// a file and a line.
func (a *app) located(err error) error {
	_, said := a.said()
	list := lines.Faults(err)
	for n, fault := range list {
		var of *host.ListenerError
		if _, module := fault.(*host.LoadError); module || !errors.As(fault, &of) { //nolint:errorlint // it is whole
			continue
		}
		if at := said[fmt.Sprintf("listeners.%d.endpoint", of.Number)]; at != "" {
			list[n] = fmt.Errorf("%s: %w", at, fault)
		}
	}
	return errors.Join(list...)
}
