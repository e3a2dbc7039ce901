package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/admin"
)

// connFlags are the flags that say which connections are meant.
type connFlags struct {
	plugin, version, peer, listener, state string
	idleFor, age                           time.Duration
}

func (f *connFlags) add(a *app, cmd *cobra.Command, flags *pflag.FlagSet, endpoint *string) {
	flags.StringVar(&f.plugin, "plugin", "", "those of the plugin `NAME`, loaded or unloaded")
	flags.StringVar(&f.version, "version", "", "those of one `NAME@VERSION`")
	flags.StringVar(&f.peer, "peer", "", "those from one address, or from several, as `CIDR`, such as 10.0.0.0/8")
	flags.StringVar(&f.listener, "listener", "", "those that the listener on `ENDPOINT` has accepted")
	flags.StringVar(&f.state, "state", "", "those in a `STATE`: open, closing, half-closed, connecting or paused")
	flags.DurationVar(&f.idleFor, "idle-for", 0, "those without a byte for so long, such as 10m")
	flags.DurationVar(&f.age, "older-than", 0, "those that are at least so old, such as 1h")
	a.complete(cmd, "plugin", endpoint, pluginNames)
	a.complete(cmd, "version", endpoint, versionNames)
	a.complete(cmd, "listener", endpoint, listenerNames)
	fixed(cmd, "state", "open", "closing", "half-closed", "connecting", "paused")
}

// values are the flags as the administration wants them; what is not said is missing.
func (f *connFlags) values() (map[string]string, error) {
	m := map[string]string{}
	for key, value := range map[string]string{"plugin": f.plugin, "version": f.version, "peer": f.peer,
		"listener": f.listener, "state": f.state} {
		if value != "" {
			m[key] = value
		}
	}
	for key, d := range map[string]time.Duration{"idle_for": f.idleFor, "age": f.age} {
		flag := map[string]string{"idle_for": "idle-for", "age": "older-than"}[key]
		if d < 0 {
			return nil, &usageError{fmt.Errorf("--%s: found %s, wanted a time such as 10m", flag, d)}
		}
		if d > 0 {
			m[key] = d.String()
		}
	}
	return m, nil
}

func newConns(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "conns",
		Short: "List the live connections of a running host, or close some",
		Long: "List the live connections of a running host: those that are all that the flags say.\n" +
			"Connections of a plugin that was unloaded are among them until they end.",
		Example: "  wirehost conns --plugin gopher --idle-for 10m\n  wirehost conns --sort out --limit 20\n" +
			"  wirehost conns close gopher/3 gopher/4\n  wirehost conns close --peer 192.0.2.0/24 --abort",
		SuggestionsMinimumDistance: 2, // edits
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && len(cmd.SuggestionsFor(args[0])) > 0 { // close, mistyped
				return unknown(cmd, args[0])
			}
			return arguments()(cmd, args)
		},
	}
	endpoint, format := adminFlag(cmd), outputFlag(cmd)
	var f connFlags
	f.add(a, cmd, cmd.Flags(), endpoint)
	sort := cmd.Flags().String("sort", "", "the greatest first, by `WHAT`: "+strings.Join(host.ConnSorts(), ", "))
	fixed(cmd, "sort", host.ConnSorts()...)
	limit := cmd.Flags().Int("limit", 0, "list so many at most; with --sort "+strconv.Itoa(admin.MaxPage)+" at most")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *limit < 0 || *sort != "" && *limit > admin.MaxPage {
			return &usageError{fmt.Errorf("--limit: found %d, wanted a number above 0, and with --sort at most %d",
				*limit,
				admin.MaxPage)}
		}
		values, err := f.values()
		if err != nil {
			return err
		}
		c, err := a.client(*endpoint)
		if err != nil {
			return err
		}
		page, err := c.connections(cmd.Context(), values, *sort, *limit)
		if err != nil {
			return err
		}
		if *format == "json" {
			return printJSON(a.stdout, page)
		}
		if err := printConns(a.stdout, page.Connections); err != nil {
			return err
		}
		for _, loop := range page.Late {
			fmt.Fprintf(a.stderr, "wirehost: event loop %d does not answer: its connections are missing\n", loop)
		}
		for _, pid := range page.Silent {
			fmt.Fprintf(a.stderr, "wirehost: process %d has not answered in time: the connections that an upgrade "+
				"left there are missing\n", pid)
		}
		if more := page.Matched - len(page.Connections); more > 0 && *limit == 0 {
			fmt.Fprintf(a.stderr, "wirehost: there are %d more\n", more)
		}
		return nil
	}
	cmd.AddCommand(newConnsClose(a))
	return cmd
}

// connections asks for some, page by page; 0 = all.
func (c *client) connections(ctx context.Context, filter map[string]string, sort string,
	limit int) (all host.ConnPage, err error) {
	v := url.Values{}
	for key, value := range filter {
		v.Set(key, value)
	}
	if sort != "" {
		v.Set("sort", sort)
	}
	all.Connections = []host.ConnInfo{}
	for {
		most := admin.MaxPage
		if limit > 0 {
			most = min(most, limit-len(all.Connections))
		}
		v.Set("limit", strconv.Itoa(most))
		var page host.ConnPage
		if err := c.ask(ctx, http.MethodGet, "/v1/connections?"+v.Encode(), nil, &page); err != nil {
			return all, err
		}
		all.Connections = append(all.Connections, page.Connections...)
		all.Next, all.Matched = page.Next, page.Matched
		all.Late, all.Silent = append(all.Late, page.Late...), append(all.Silent, page.Silent...)
		if page.Next == "" || limit > 0 && len(all.Connections) >= limit {
			break
		}
		v.Set("after", page.Next)
	}
	if sort == "" {
		slices.SortStableFunc(all.Connections, byID)
	}
	return all, nil
}

// byID orders connections by plugin, and by number.
func byID(a, b host.ConnInfo) int {
	number := func(id string) int {
		_, text, _ := strings.Cut(id, "/")
		n, _ := strconv.Atoi(text) // 0 is as good
		return n
	}
	return cmp.Or(cmp.Compare(a.Plugin, b.Plugin), cmp.Compare(number(a.ID), number(b.ID)))
}

func printConns(w io.Writer, list []host.ConnInfo) error {
	head := []string{"ID", "PEER", "LISTENER", "VERSION", "AGE", "IDLE", "IN", "OUT", "QUEUED", "STATE"}
	several := slices.ContainsFunc(list, func(c host.ConnInfo) bool { return c.Process != "" })
	if several {
		head = append(head, "PROCESS")
	}
	t := newTable(w, head...)
	for _, c := range list {
		state := c.State
		if c.Outgoing {
			state += ", outgoing"
		}
		if c.Encrypted {
			state += ", tls"
		}
		cells := []string{c.ID, orElse(c.Peer, "-"), orElse(c.Listener, "-"), c.Version, seconds(c.Age),
			seconds(c.Idle),
			fmt.Sprint(c.In), fmt.Sprint(c.Out), fmt.Sprint(c.Queued), state}
		if several {
			cells = append(cells, orElse(c.Process, "this"))
		}
		t.row(cells...)
	}
	return t.Flush()
}

// seconds is a time for people.
func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}

func newConnsClose(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "close [ID…]",
		Short: "Close connections: those of the IDs, or those that are all that the flags say",
		Long: "Close connections: those of the IDs that 'wirehost conns' has, or those that are all\n" +
			"that the flags say. What is queued is sent first; with --abort it is dropped.\n" +
			"Nothing is closed where neither an ID nor a flag says what.",
		Example: "  wirehost conns close gopher/3 gopher/4\n  wirehost conns close --peer 192.0.2.0/24 --abort\n" +
			"  wirehost conns close --version gopher@0123456789ab",
	}
	endpoint, format := adminFlag(cmd), outputFlag(cmd)
	var f connFlags
	f.add(a, cmd, cmd.Flags(), endpoint)
	abort := cmd.Flags().Bool("abort", false, "at once: what is queued is dropped, the peer sees a reset")
	cmd.ValidArgsFunction = a.completion(endpoint, connectionIDs, many)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		values, err := f.values()
		if err != nil {
			return err
		}
		if len(args) == 0 && len(values) == 0 {
			return &usageError{errors.New("found no ID, --plugin, --peer or other flag that says which connections, " +
				"wanted one: all are closed by ending the host")}
		}
		request := map[string]any{"abort": *abort}
		for key, value := range values {
			request[key] = value
		}
		if len(args) > 0 {
			request["ids"] = args
		}
		c, err := a.client(*endpoint)
		if err != nil {
			return err
		}
		var done struct {
			Closed int `json:"closed"`
		}
		if err := c.ask(cmd.Context(), http.MethodPost, "/v1/connections/close", request, &done); err != nil {
			return err
		}
		if *format == "json" {
			return printJSON(a.stdout, done)
		}
		_, err = fmt.Fprintln(a.stdout, "closed "+plural(done.Closed, "connection"))
		return err
	}
	return cmd
}
