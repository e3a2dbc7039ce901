package command

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/admin"
	"github.com/wirehost/wirehost/internal/lines"
)

func newStatus(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "status", Short: "Show how a running host does", Args: arguments()}
	endpoint, format := adminFlag(cmd), outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.client(*endpoint)
		if err != nil {
			return err
		}
		s, err := c.status(cmd.Context())
		if err != nil {
			return err
		}
		if *format == "json" {
			return printJSON(a.stdout, s)
		}
		return printStatus(a.stdout, c.endpoint, s)
	}
	return cmd
}

func (c *client) status(ctx context.Context) (s admin.Status, err error) {
	return s, c.ask(ctx, http.MethodGet, "/v1/status", nil, &s)
}

func printStatus(w io.Writer, endpoint string, s admin.Status) error {
	t := newPlainTable(w, 2)
	t.row("host", fmt.Sprintf("wirehost %s, process %d, at %s", s.Version, s.PID, endpoint))
	t.row("configuration", orElse(s.Config, "none: what is built in runs"))
	t.row("state", stateOf(s))
	if s.ReloadFailedAt != nil {
		t.row("last reload", "failed at "+s.ReloadFailedAt.Local().Format(time.DateTime)+": "+s.ReloadFailed)
	}
	for _, c := range s.Certificates {
		text := c.Cert + ": " + c.Err
		if !c.Loaded {
			text += "; handshakes that need it fail"
		}
		t.row("certificates", text)
	}
	t.row("up", seconds(s.Uptime))
	t.row("plugins", strconv.Itoa(s.Plugins))
	t.row("listeners", strconv.Itoa(s.Listeners))
	t.row("connections", fmt.Sprintf("%d on %s, %d ever", s.Connections, plural(s.Loops, "event loop"), s.Opened))
	t.row("traffic", fmt.Sprintf("%s in, %s out, %s queued", bytesText(s.In), bytesText(s.Out), bytesText(s.Queued)))
	if s.Shed > 0 {
		t.row("shed", plural(int(s.Shed), "idle connection")+", ever, while overloaded")
	}
	return t.Flush()
}

// stateOf says whether a host is ready, and why not.
func stateOf(s admin.Status) string {
	state := "ready"
	if !s.Ready {
		state = "not ready: " + s.NotReady
	}
	if s.Overloaded {
		state += ", overloaded"
	}
	return state
}

func newReload(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have a running host read its configuration and modules again",
		Long: "Have a running host read its configuration, certificates and modules again, as SIGHUP\n" +
			"does, and print what has changed ('-o json': each plugin's outcome). Where a plugin or a\n" +
			"listener fails nothing changes: each fault is printed, and the exit code is 1. It is 1\n" +
			"too where a certificate, the access log or a saved plugin alone could not be taken\n" +
			"over, and all else was.",
		Args: arguments(),
	}
	endpoint, format := adminFlag(cmd), outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.client(*endpoint)
		if err != nil {
			return err
		}
		var change host.Change
		stop := a.waiting("reloading")
		err = c.ask(cmd.Context(), http.MethodPost, "/v1/config/reload", struct{}{}, &change)
		if stop(); err != nil {
			return err
		}
		if err := a.printChange(change, *format); err != nil {
			return err
		}
		if len(change.Failed) > 0 {
			return fmt.Errorf("%s not taken over; what was there before stays", areNot(len(change.Failed)))
		}
		return nil
	}
	return cmd
}

// areNot begins a sentence on n things that did not come about.
func areNot(n int) string {
	if n == 1 {
		return "one thing was"
	}
	return fmt.Sprintf("%d things were", n)
}

func newListeners(a *app) *cobra.Command {
	type list struct {
		Listeners    []host.ListenerInfo    `json:"listeners"`
		Certificates []host.CertificateInfo `json:"certificates"`
		More         bool                   `json:"more"`
	}
	const short = "List what a running host and its guests listen on"
	var limit int
	path := func() string { return "/v1/listeners?limit=" + strconv.Itoa(limit) }
	cmd := newList(a, "listeners", short, path, func(w io.Writer, list list) error {
		if list.More {
			fmt.Fprintf(a.stderr, "wirehost: there are more of guests' than these %d\n", limit)
		}
		t := newTable(w, "ENDPOINT", "PLUGIN", "CONNS", "ACCEPTED", "REFUSED")
		for _, l := range list.Listeners {
			who := l.Whom()
			if l.ID != "" { // the guest's own
				who = l.ID
			}
			if d := l.Datagrams; d != nil {
				t.row(l.Endpoint, who, "-", fmt.Sprintf("%d datagrams", d.Received),
					fmt.Sprint(d.Overflowed+d.Limited))
				continue
			}
			t.row(l.Endpoint, who, fmt.Sprint(l.Connections), fmt.Sprint(l.Accepted), fmt.Sprint(l.Refused))
		}
		return t.Flush()
	})
	cmd.Flags().IntVar(&limit, "limit", 1000, "so many of guests' own at most, "+strconv.Itoa(admin.MaxPage)+" at most")
	return cmd
}

// settings are what /v1/config/settings answers.
type settings struct {
	File     string `json:"file"`
	Settings []struct {
		Key   string `json:"key"`
		Value string `json:"value"`
		From  string `json:"from"`
	} `json:"settings"`
}

func newConfig(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config [KEY…]",
		Short: "Show the settings that a running host has, and where each was said",
		Long: "Show the settings that a running host has, and where each was said: a line of a file, a\n" +
			"variable, a flag, or nowhere, which is the default. What was loaded at run time is of\n" +
			"'run time'. Secrets are hidden. With KEYs, such as reactor or plugins.echo.limits, those\n" +
			"and what is below them.",
		Example: "  wirehost config --changed\n  wirehost config plugins.echo",
	}
	endpoint, format := adminFlag(cmd), outputFlag(cmd)
	changed := cmd.Flags().Bool("changed", false, "only what is not the default")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client(*endpoint)
		if err != nil {
			return err
		}
		var all settings
		if err := c.ask(cmd.Context(), http.MethodGet, "/v1/config/settings", nil, &all); err != nil {
			return err
		}
		kept := settings{File: all.File, Settings: all.Settings[:0:0]}
		for _, key := range orAll(args) {
			found := false
			for _, s := range all.Settings {
				if key == "" || s.Key == key || strings.HasPrefix(s.Key, key+".") {
					found = true
					if !*changed || s.From != "default" {
						kept.Settings = append(kept.Settings, s)
					}
				}
			}
			if !found {
				return fmt.Errorf("found no setting %s, wanted one such as reactor or plugins.echo", lines.Visible(key))
			}
		}
		if *format == "json" {
			return printJSON(a.stdout, kept)
		}
		t := newTable(a.stdout, "SETTING", "VALUE", "FROM")
		for _, s := range kept.Settings {
			t.row(s.Key, orElse(s.Value, `""`), s.From)
		}
		return t.Flush()
	}
	return cmd
}

// orAll is a list of keys, or what stands for all of them.
func orAll(keys []string) []string {
	if len(keys) == 0 {
		return []string{""}
	}
	return keys
}
