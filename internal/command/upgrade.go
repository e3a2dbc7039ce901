package command

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/internal/lines"
)

func newUpgrade(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "upgrade",
		Short: "Have the executable that now lies at the host's path take over, with live connections",
		Long: "Have the executable that now lies at the running host's path take over. It is\n" +
			"started with the same arguments and must be ready before anything moves; if it\n" +
			"fails, or a plugin does not start in it that runs now, the old one goes on.\n" +
			"Listeners move, and connections that can: all but those on TLS 1.2, of plugins\n" +
			"with reload: migrate whose modules save their state. The others stay with the\n" +
			"old process until they end, for the plugin's drain at most. SIGUSR2 does the\n" +
			"same.",
		Args: arguments(),
	}
	endpoint, format := adminFlag(cmd), outputFlag(cmd)
	dryRun := cmd.Flags().Bool("dry-run", false, "only say what would move, and whether the new process would refuse")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.client(*endpoint)
		if err != nil {
			return err
		}
		var out host.Upgraded
		ask := map[string]bool{"dry_run": *dryRun}
		if err := c.ask(cmd.Context(), http.MethodPost, "/v1/upgrade", ask, &out); err != nil {
			return err
		}
		if err := a.printUpgraded(out, *format); err != nil {
			return err
		}
		if len(out.Refusals) > 0 {
			return errors.New("an upgrade would fail now, and what runs would run on")
		}
		return nil
	}
	return cmd
}

func (a *app) printUpgraded(out host.Upgraded, format output) error {
	if format == "json" {
		return printJSON(a.stdout, out)
	}
	for _, line := range out.Lines() {
		if _, err := fmt.Fprintln(a.stdout, lines.Visible(line)); err != nil {
			return err
		}
	}
	return nil
}
