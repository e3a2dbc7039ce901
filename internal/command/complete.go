package command

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/host"
)

// completeTime is how long a running host has to say what a word may be completed to.
const completeTime = time.Second

// maxCompleted is how many words are offered.
const maxCompleted = 200

// many has every argument completed, and not the first alone.
const many = true

// names asks a host for what a word may be.
type names func(ctx context.Context, c *client) []string

// fixed completes a flag with words that never change.
func fixed(cmd *cobra.Command, flag string, words ...string) {
	// fails without the flag alone
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// complete completes a flag with what a running host has.
func (a *app) complete(cmd *cobra.Command, flag string, endpoint *string, from names) {
	_ = cmd.RegisterFlagCompletionFunc(flag, a.completion(endpoint, from, many)) // fails without the flag alone
}

// completion completes with what a running host has, where one answers: several
// arguments, or the first alone.
func (a *app) completion(endpoint *string, from names, several bool) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 && !several {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		c, _, err := a.quietClient(*endpoint)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), completeTime)
		defer cancel()
		var fit []string
		for _, name := range from(ctx, c) {
			if strings.HasPrefix(name, begun) && !slices.Contains(args, name) && len(fit) < maxCompleted {
				fit = append(fit, name)
			}
		}
		return fit, cobra.ShellCompDirectiveNoFileComp
	}
}

// plugins are those of a host; none where it does not answer.
func (c *client) plugins(ctx context.Context) []host.PluginInfo {
	var list struct{ Plugins []host.PluginInfo }
	_ = c.ask(ctx, http.MethodGet, "/v1/plugins", nil, &list) // nobody waits for an error there
	return list.Plugins
}

func pluginNames(ctx context.Context, c *client) []string {
	var list []string
	for _, p := range c.plugins(ctx) {
		list = append(list, p.Name)
	}
	return list
}

func versionNames(ctx context.Context, c *client) []string {
	var list []string
	for _, p := range c.plugins(ctx) {
		for _, v := range p.Versions {
			list = append(list, v.Name)
		}
	}
	return list
}

func listenerNames(ctx context.Context, c *client) []string {
	var list struct{ Listeners []host.ListenerInfo }
	_ = c.ask(ctx, http.MethodGet, "/v1/listeners", nil, &list) // nobody waits for an error there
	var endpoints []string
	for _, l := range list.Listeners {
		endpoints = append(endpoints, l.Endpoint)
	}
	return endpoints
}

func connectionIDs(ctx context.Context, c *client) []string {
	page, _ := c.connections(ctx, nil, "", maxCompleted) // nobody waits for an error there
	var ids []string
	for _, conn := range page.Connections {
		ids = append(ids, conn.ID)
	}
	return ids
}
