package command

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/host/operate"
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
				return err
			}
			_, err = fmt.Fprintln(a.stdout, "ok")
			return err
		},
	}
}
