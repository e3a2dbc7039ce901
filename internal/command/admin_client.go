package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/admin"
	"github.com/wirehost/wirehost/reactor"
)

const (
	// maxAnswer bounds what a server may have the command read, in bytes: a
	// million connections.
	maxAnswer = 512 << 20
	// pollEvery is how often --wait asks.
	pollEvery = 200 * time.Millisecond
)

// adminFlag adds --admin, for commands that talk to a running host.
func adminFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("admin", "",
		"administration `ENDPOINT` of the host, unix://PATH or tcp://HOST:PORT (default: the configured one)")
}

// client talks to the administration of a running host.
type client struct {
	endpoint string
	base     string // of URLs
	http     http.Client
}

// client makes one for an endpoint, or for the configured one.
func (a *app) client(endpoint string) (*client, error) {
	if endpoint == "" {
		cfg, err := a.load(context.Background())
		if err != nil {
			return nil, err
		}
		endpoint = cfg.Admin.Listen
	}
	switch endpoint {
	case "":
		endpoint = admin.DefaultEndpoint(a.getenv)
	case admin.Off:
		return nil, errors.New("admin.listen is off: a host so configured can't be asked")
	}
	e, err := reactor.ParseEndpoint(endpoint)
	if err != nil || e.Scheme == "tls" {
		return nil, &usageError{fmt.Errorf("--admin: found %q, wanted unix://PATH or tcp://HOST:PORT", endpoint)}
	}
	network, address := "unix", e.Path
	c := &client{endpoint: endpoint, base: "http://wirehost"}
	if e.Scheme == "tcp" {
		network, address = "tcp", strings.TrimPrefix(e.String(), "tcp://")
		c.base = "http://" + address
	}
	c.http.Transport = &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}
	return c, nil
}

// getenv is the environment that the command was given.
func (a *app) getenv(key string) string {
	for n := len(a.env) - 1; n >= 0; n-- {
		if value, ok := strings.CutPrefix(a.env[n], key+"="); ok {
			return value
		}
	}
	return ""
}

// ask makes one request. in is its body, nil for none; out gets the answer's.
func (c *client) ask(ctx context.Context, method, path string, in, out any) error {
	text, err := c.fetch(ctx, method, path, in)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s is no wirehost: found no JSON in answer to %s %s", c.endpoint, method, path)
	}
	return nil
}

// fetch makes one request, and gives the answer's body.
func (c *client) fetch(ctx context.Context, method, path string, in any) ([]byte, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", admin.UserAgent)
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreachable(err)
	}
	defer resp.Body.Close() // it was only read
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("the answer of %s did not arrive: %w", c.endpoint, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return nil, problemError(resp, text)
	}
	return text, nil
}

// unreachable says why there is no answer.
func (c *client) unreachable(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("no host answers at %s (%w): start one with 'wirehost serve', "+
			"or name its endpoint with --admin",
			c.endpoint, op.Err)
	}
	return fmt.Errorf("the host at %s went away: %w", c.endpoint, err)
}

// problemError is what an answer says that is wrong, one fault a line, and what
// still runs.
func problemError(resp *http.Response, text []byte) error {
	var p admin.Problem
	if err := json.Unmarshal(text, &p); err != nil || p.Detail == "" {
		return fmt.Errorf("found %s", resp.Status)
	}
	list := []error{}
	for _, f := range p.Faults {
		list = append(list, errors.New(f))
	}
	if len(list) == 0 {
		list = append(list, errors.New(p.Detail))
	}
	if p.Running != "" {
		list = append(list, fmt.Errorf("%s is still running", p.Running))
	}
	return errors.Join(list...)
}

// drained waits until the last connection of some versions of a plugin has ended.
func (c *client) drained(ctx context.Context, plugin string, versions ...string) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		var list struct{ Connections []host.ConnInfo }
		path := "/v1/connections?plugin=" + url.QueryEscape(plugin)
		if err := c.ask(ctx, http.MethodGet, path, nil, &list); err != nil {
			return err
		}
		left := 0
		for _, conn := range list.Connections {
			for _, v := range versions {
				if conn.Version == v {
					left++
				}
			}
		}
		if left == 0 {
			return nil
		}
		<-tick.C
	}
}

// starts says so if a plugin that was loaded does not start; the host tries it
// again. wait: until it does.
func (c *client) starts(ctx context.Context, path string, wait bool) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		var p host.PluginInfo
		if err := c.ask(ctx, http.MethodGet, path, nil, &p); err != nil {
			return err
		}
		switch {
		case p.State != "failed":
			return nil
		case !wait:
			return fmt.Errorf("plugin %s is loaded, and does not start: %s; the host tries it again", p.Name, p.Reason)
		}
		<-tick.C
	}
}
