package command

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/host"
)

func newConns(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "conns", Short: "List the live connections of a running host", Args: arguments()}
	endpoint, format := adminFlag(cmd), outputFlag(cmd)
	plugin := cmd.Flags().String("plugin", "", "list those of the plugin `NAME` only")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.client(*endpoint)
		if err != nil {
			return err
		}
		var list struct {
			Connections []host.ConnInfo `json:"connections"`
		}
		path := "/v1/connections?plugin=" + url.QueryEscape(*plugin)
		if err := c.ask(cmd.Context(), http.MethodGet, path, nil, &list); err != nil {
			return err
		}
		if *format == "json" {
			return printJSON(a.stdout, list)
		}
		return printConns(a.stdout, list.Connections)
	}
	return cmd
}

func printConns(w io.Writer, list []host.ConnInfo) error {
	t := newTable(w, "ID", "PEER", "VERSION", "AGE", "IN", "OUT", "QUEUED", "STATE")
	for _, c := range list {
		state := c.State
		if c.Outgoing {
			state += ", outgoing"
		}
		if c.Encrypted {
			state += ", tls"
		}
		age := time.Duration(c.Age * float64(time.Second)).Round(time.Second)
		t.row(c.ID, orElse(c.Peer, "-"), c.Version, age.String(), fmt.Sprint(c.In), fmt.Sprint(c.Out),
			fmt.Sprint(c.Queued), state)
	}
	return t.Flush()
}
