package command

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/internal/lines"
)

func newPluginTrace(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trace NAME | ID",
		Short: "Show every callback and host call of a plugin, or of one of its connections",
		Long: "Show every callback and host call of a plugin, or of one of its connections, whose\n" +
			"ID 'wirehost conns' has, until the command is interrupted; with --log, in the running\n" +
			"host's log, until --off. The lines show what the connections carry. A plugin has one\n" +
			"trace: another takes its place.",
		Example: "  wirehost plugin trace gopher/3\n  wirehost plugin trace gopher --log\n" +
			"  wirehost plugin trace gopher --off",
		Args: arguments("NAME or ID"),
	}
	endpoint, format := adminFlag(cmd), outputFlag(cmd)
	cmd.ValidArgsFunction = a.completion(endpoint, func(ctx context.Context, c *client) []string {
		return append(pluginNames(ctx, c), connectionIDs(ctx, c)...)
	}, !many)
	log := cmd.Flags().Bool("log", false, "log the lines, in place of showing them here")
	off := cmd.Flags().Bool("off", false, "end the trace")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *log && *off {
			return &usageError{errors.New("found --log and --off, wanted one of them")}
		}
		name, _, one := strings.Cut(args[0], "/")
		c, path, err := a.pluginClient(*endpoint, name)
		if err != nil {
			return err
		}
		id := ""
		if one {
			id = args[0]
		}
		if *log || *off {
			return a.switchTrace(cmd.Context(), c, path, name, id, *off, *format)
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		return c.stream(ctx, path+"/trace?connection="+url.QueryEscape(id), a.stdout)
	}
	return cmd
}

// switchTrace begins or ends the trace in the host's log.
func (a *app) switchTrace(ctx context.Context, c *client, path, name, id string, off bool, format output) error {
	method, body := http.MethodPut, map[string]any{}
	if id != "" {
		body["connection"] = id
	}
	if off {
		method = http.MethodDelete
	}
	var p host.PluginInfo
	if err := c.ask(ctx, method, path+"/trace", body, &p); err != nil {
		return err
	}
	if format == "json" {
		return printJSON(a.stdout, p)
	}
	text := "nothing of " + name + " is traced"
	if p.Trace != "" {
		text = p.Trace + " is traced: see the host's log"
	}
	_, err := fmt.Fprintln(a.stdout, lines.Visible(text))
	return err
}
