package command

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/admin"
	"github.com/wirehost/wirehost/internal/lines"
)

func newPluginHistory(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "history NAME",
		Short: "What became active of a plugin when, by whom, and what was refused",
		Args:  arguments("NAME"),
	}
	endpoint, format := adminFlag(cmd), outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, path, err := a.pluginClient(*endpoint, args[0])
		if err != nil {
			return err
		}
		var list struct {
			History []admin.Event `json:"history"`
		}
		if err := c.ask(cmd.Context(), http.MethodGet, path+"/history", nil, &list); err != nil {
			return err
		}
		if *format == "json" {
			return printJSON(a.stdout, list)
		}
		t := newTable(a.stdout, "TIME", "OUTCOME", "VERSION", "PREVIOUS", "BY", "NOTE")
		for _, e := range list.History {
			note := e.Detail
			if e.Pinned {
				note = strings.TrimPrefix(note+"; pinned", "; ")
			}
			t.row(e.At.Local().Format(time.RFC3339), e.Outcome, e.Version, e.Previous, e.By, note)
		}
		return t.Flush()
	}
	return cmd
}

func newPluginUnpin(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unpin NAME",
		Short: "End the pin that use has made, and go over to the configured module",
		Args:  arguments("NAME"),
	}
	endpoint, format := adminFlag(cmd), outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, path, err := a.pluginClient(*endpoint, args[0])
		if err != nil {
			return err
		}
		var out host.Outcome
		stop := a.waiting("changing " + args[0])
		err = c.ask(cmd.Context(), http.MethodDelete, path+"/pin", map[string]any{}, &out)
		if stop(); err != nil {
			return err
		}
		if *format == "json" {
			return printJSON(a.stdout, out)
		}
		_, err = fmt.Fprintln(a.stdout, lines.Visible(outcomeText(out)))
		return err
	}
	return cmd
}

// saving says whether a change is to outlive the host's process.
type saving bool

// saveFlag adds --save.
func saveFlag(cmd *cobra.Command) *saving {
	s := new(saving)
	cmd.Flags().BoolVar((*bool)(s), "save", false,
		"keep it over reloads and restarts, in the host's state: no configuration file is changed")
	return s
}

// query is what follows a path that changes a plugin.
func (s *saving) query() string {
	if *s {
		return "?save=true"
	}
	return ""
}

// printSaved prints a change, and that it was saved.
func (a *app) printSaved(c host.Change, format output, saved saving) error {
	if err := a.printChange(c, format); err != nil || !bool(saved) || format == "json" {
		return err
	}
	_,
		err := fmt.Fprintln(a.stdout, "saved in the state of the host, for its next starts; its configuration is as "+
		"it was")
	return err
}
